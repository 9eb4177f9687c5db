// The OpenAI dialect, inwards: bodies of /v1/chat/completions and /v1/completions as requests. Pure functions.
//
// A field that OpenAI or servers like it know and that is not done here is refused by name, so that nothing which would
// change an answer is passed over; fields without a meaning here (user, metadata, ...) and those that nobody knows are
// named in AnswerRequest::ignored.
#pragma once

#include <string_view>

#include "server/dialect.h"
#include "server/fields.h"

namespace naru::server {

// The body must be one JSON object; anything else is a refusal too.
ReadRequest read_openai_chat(std::string_view body);
ReadRequest read_openai_completion(std::string_view body);

// Those fields of a chat that decide its prompt, for pages that take such a body with fields of their own: what is said
// of the answer is nothing to them.
void read_openai_prompt_fields(Fields& fields, AnswerRequest& request);

extern const Dialect kOpenAiChat, kOpenAiCompletion;
extern const Dialect kOpenAiEmbeddings;  // refuses: nothing here makes any

}  // namespace naru::server
