// AnswerRequest: what is asked for, whichever dialect asked. Every dialect reads its own form into this one, and from
// here on nobody knows which it was; what a request leaves open is left open here (the model's own advice fills it).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "server/refusal.h"
#include "text/value.h"

namespace naru::server {

// As engine::SamplingOptions, as far as somebody said.
struct AskedSampling {
  std::optional<double> temperature, top_p, min_p, repetition_penalty, presence_penalty, frequency_penalty;
  std::optional<int64_t> top_k;
  std::vector<std::pair<int32_t, float>> logit_bias;
  std::optional<uint64_t> seed;  // absent: one is drawn, and said with the answer
};

// A text to continue, or its tokens.
using TextPrompt = std::variant<std::string, std::vector<int32_t>>;

struct AnswerRequest {
  std::string model;  // empty: whichever is served
  bool is_chat = false;
  text::Value::List messages;             // of a chat: objects with "role", "content", ... as templates know them
  text::Value::Object template_settings;  // further variables of the template
  std::vector<TextPrompt> prompts;        // where it is no chat: at least one
  AskedSampling sampling;
  int64_t n = 1;           // answers to each prompt
  int64_t max_tokens = 0;  // 0: until the context is full
  std::vector<std::string> stop;
  bool ignores_end = false;             // the model's own end tokens end nothing
  std::optional<int64_t> top_logprobs;  // 0: of the chosen token; n: of the n best too
  bool is_streamed = false;
  bool wants_usage = false;  // of a stream: tokens are counted at its end
  std::string cache_salt;    // requests share computed prompts only where it is the same

  std::vector<std::string> ignored;  // fields that were given and change nothing: said with the answer

  int64_t n_prompts() const { return is_chat ? 1 : static_cast<int64_t>(prompts.size()); }
  int64_t n_choices() const { return n_prompts() * n; }
};

// What a dialect makes of a body.
using ReadRequest = std::variant<AnswerRequest, Refusal>;

}  // namespace naru::server
