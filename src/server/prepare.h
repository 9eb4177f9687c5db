// From a request to what the engine runs: the conversation through the model's template, texts through its tokenizer,
// and its own advice where the request says nothing. A function of the request, the model and the seed alone.
#pragma once

#include <cstdint>
#include <variant>
#include <vector>

#include "engine/request.h"
#include "engine/text_stream.h"
#include "server/answer_request.h"
#include "server/model_facts.h"

namespace naru::server {

struct PreparedAnswer {
  // In the order of their index: those of the first prompt, of the second, ... The choices of one prompt differ in
  // their `sample` alone, which rises by one: they are submitted together, as the first of them says.
  std::vector<engine::Request> choices;
  engine::TextOptions text;  // of all of them
  int64_t choices_per_prompt = 1;
  uint64_t seed = 0;
  std::vector<std::string> ignored;  // besides those of the request: what this model knows nothing of
};

// `seed`: where the request names none. `cache_scope`: of whoever asks (scope_of).
std::variant<PreparedAnswer, Refusal> prepare(const AnswerRequest& request, const ModelFacts& model, uint64_t seed,
                                              uint64_t cache_scope);

// The tokens of a request's first prompt, as prepare() makes them, however many they are.
std::variant<std::vector<int32_t>, Refusal> prompt_tokens(const AnswerRequest& request, const ModelFacts& model);

// Requests of one key and one salt share computed prompts; no others do.
uint64_t scope_of(const std::string& key_name, const std::string& cache_salt);

}  // namespace naru::server
