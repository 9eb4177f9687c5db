// From a request to what the engine runs: the conversation through the model's template, texts through its tokenizer,
// and its own advice where the request says nothing. A function of the request, the model and the seed alone.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "engine/request.h"
#include "engine/text_stream.h"
#include "server/answer_request.h"
#include "server/model_facts.h"
#include "server/sampled_turns.h"

namespace naru::server {

// What a turn with calls is kept with, when it is whole.
struct TurnToKeep {
  std::shared_ptr<SampledTurns> turns;
  uint64_t scope = 0;
  std::string before;
  std::vector<int32_t> prompt;
};

struct PreparedAnswer {
  // One for each prompt: its first choice. The others differ in their `sample` alone, which rises by one, and are
  // submitted together with it. Choice i is of prompt i / choices_per_prompt.
  std::vector<engine::Request> prompts;
  engine::TextOptions text;  // of all of them
  bool goes_on = false;      // behind words of the last message
  int64_t choices_per_prompt = 1;
  uint64_t seed = 0;
  std::vector<std::string> ignored;  // besides those of the request: what this model knows nothing of
  std::vector<std::string> warnings;
  std::string replayed_call;  // as of ChatPrompt
  int64_t replayed_tokens = 0;
  std::shared_ptr<const TurnToKeep> turn;  // null: nothing is kept

  int64_t n_choices() const { return std::ssize(prompts) * choices_per_prompt; }
};

// `seed`: where the request names none. `cache_scope`: of whoever asks (scope_of). `turns`: where those with calls are
// kept and found again; null: nowhere.
std::variant<PreparedAnswer, Refusal> prepare(const AnswerRequest& request, const ModelFacts& model, uint64_t seed,
                                              uint64_t cache_scope, const std::shared_ptr<SampledTurns>& turns = {});

// The tokens of a request's first prompt, as prepare() makes them, however many they are.
std::variant<std::vector<int32_t>, Refusal> prompt_tokens(const AnswerRequest& request, const ModelFacts& model);

// Requests of one key and one salt share computed prompts; no others do.
uint64_t scope_of(const std::string& key_name, const std::string& cache_salt);

}  // namespace naru::server
