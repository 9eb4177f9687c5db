// Anthropic's dialect, inwards: bodies of /v1/messages and /v1/messages/count_tokens. Pure functions.
//
// Blocks become what chat templates know: "thinking" is the reasoning_content of its message, "tool_use" one of its
// tool_calls, "tool_result" a message of role "tool". What is known and not done here is refused by name (images,
// documents, tools that Anthropic runs, forced calls, output of a form); marks for a cache, budgets of thinking and
// what nobody knows are named in AnswerRequest::ignored.
//
// Source: the parameters of anthropic-sdk-python 2.14 (types/message_create_params.py and what it includes).
#pragma once

#include <string_view>

#include "server/dialect.h"

namespace naru::server {

// The body must be one JSON object; anything else is a refusal too.
ReadRequest read_anthropic_messages(std::string_view body);
// A page: {"input_tokens": n}, the tokens of the prompt that the same request to /v1/messages has.
ReadRequest read_anthropic_count(std::string_view body);

extern const Dialect kAnthropicMessages, kAnthropicCount;

}  // namespace naru::server
