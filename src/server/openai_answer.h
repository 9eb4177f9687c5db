// The OpenAI dialect, outwards: answers of /v1/chat/completions and /v1/completions, whole or as server-sent events,
// and its errors. Pure functions of the events.
//
// Beside OpenAI's fields stand DeepSeek's: reasoning_content in messages and deltas, and the two halves of the prompt's
// tokens in usage. A stream that ends in an error has no [DONE].
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "server/answer_writer.h"

namespace naru::server {

std::unique_ptr<AnswerWriter> make_openai_writer(AnswerIdentity identity, const AnswerRequest& request);

// {"error": {"message", "type", "param", "code"}}
std::string openai_error(const Refusal& refusal);

nlohmann::ordered_json openai_usage(const AnswerUsage& usage);

}  // namespace naru::server
