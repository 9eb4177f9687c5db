// DeepSeek's extensions of a conversation, and the words of effort that all dialects read alike.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "server/answer_request.h"
#include "server/fields.h"

namespace naru::server {

// What AnswerRequest::reasoning_effort says for a dialect's word; nothing for one that none has.
// As DeepSeek maps them: minimal is low, medium and xhigh are high, ultra is max.
std::optional<std::string> effort_of(std::string_view word);

// `thinking`: {"type": "enabled"} or "disabled"; and `reasoning_effort`. Both may be given where they agree.
void read_reasoning(Fields& body, AnswerRequest& request);

// `prefix`: true of the last message, an assistant's, which the answer goes on from.
void read_prefix(Fields& body, AnswerRequest& request);

}  // namespace naru::server
