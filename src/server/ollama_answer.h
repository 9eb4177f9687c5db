// Ollama's dialect, outwards: events as lines of JSON, or as one object. Pure functions; the durations are those that
// the events say.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "server/answer_writer.h"

namespace naru::server {

struct ModelFacts;

std::unique_ptr<AnswerWriter> make_ollama_chat_writer(AnswerIdentity identity, const AnswerRequest& request);
std::unique_ptr<AnswerWriter> make_ollama_generate_writer(AnswerIdentity identity, const AnswerRequest& request);

// {"error": "..."}
std::string ollama_error(const Refusal& refusal);

// The answer to a request that only wants the model to be loaded.
std::string ollama_loaded(bool is_chat, const ModelFacts& model);

// Seconds since 1970 as RFC 3339 has them in UTC: "2026-11-30T14:03:20.000000000Z".
std::string ollama_time(int64_t unix_seconds);

}  // namespace naru::server
