// The OpenAI dialect, inwards: bodies of /v1/chat/completions and /v1/completions as requests. Pure functions.
//
// A field that OpenAI or servers like it know and that is not done here is refused by name, so that nothing which would
// change an answer is passed over; fields without a meaning here (user, metadata, ...) and those that nobody knows are
// named in AnswerRequest::ignored.
#pragma once

#include <string_view>

#include "server/dialect.h"

namespace naru::server {

// The body must be one JSON object; anything else is a refusal too.
ReadRequest read_openai_chat(std::string_view body);
ReadRequest read_openai_completion(std::string_view body);

extern const Dialect kOpenAiChat, kOpenAiCompletion;

}  // namespace naru::server
