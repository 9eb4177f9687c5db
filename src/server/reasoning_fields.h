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

// `thinking`: {"type": "enabled", "budget_tokens"} or "disabled"; vLLM's `thinking_token_budget`; and
// `reasoning_effort`. Several may be given where they agree.
void read_reasoning(Fields& body, AnswerRequest& request);

// A budget of reasoning, in tokens: refused where another field gives another, ignored and said where reasoning is off.
void read_budget(Fields& fields, std::string_view name, AnswerRequest& request);

// `prefix`: true of the last message, an assistant's, which the answer goes on from.
void read_prefix(Fields& body, AnswerRequest& request);

}  // namespace naru::server
