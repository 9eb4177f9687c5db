// OpenAI's responses, inwards: bodies of /v1/responses. A pure function.
//
// Nothing is stored: a conversation comes whole with each request, and what would continue one that was stored is
// refused (previous_response_id, conversation, prompt). Items become what chat templates know: "reasoning" is the
// reasoning_content of the assistant's message behind it, "function_call" one of its tool_calls, "function_call_output"
// a message of role "tool".
//
// Source: the parameters of openai-python 3.57 (types/responses/response_create_params.py and what it includes).
#pragma once

#include <string_view>

#include "server/dialect.h"

namespace naru::server {

// The body must be one JSON object; anything else is a refusal too.
ReadRequest read_responses(std::string_view body);

extern const Dialect kOpenAiResponses;

}  // namespace naru::server
