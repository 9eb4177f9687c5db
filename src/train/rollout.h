// Rollout: answers of the model in training, made by an engine that borrows the trainer's decoder: its packed weights,
// with adapters apart as they are trained, so that every log-probability has the trainer's bits. Nothing is packed or
// copied for it.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "data/problems.h"
#include "engine/engine.h"
#include "engine/sampler.h"
#include "rewards/judge.h"
#include "train/answer_batch.h"
#include "train/training_model_files.h"

namespace naru::train {

// Whether prompts are a user's messages, by the model's chat template; else plain text that goes on.
bool is_asked_as_chat(const recipes::Recipe& recipe, const TrainingModelFiles& files);
Result<text::ChatPrompt> problem_prompt(const recipes::Recipe& recipe, const TrainingModelFiles& files,
                                        const data::Problem& problem);

// What answers to be learnt from are drawn from, by [grpo] or [distill]; whether that is the model's own distribution,
// whose log-probabilities are the LogProb op's.
engine::SamplingOptions policy_sampling(const recipes::Recipe& recipe);
bool is_plain_policy(const engine::SamplingOptions& sampling, int64_t vocab);
// Of an answer to a problem that is judged, the longest.
int64_t answer_tokens_max(const recipes::Recipe& recipe);

class Rollout {
 public:
  // What the engine is opened for: answers together, and tokens of one with its prompt. No sessions: the recipe asks
  // for no answers.
  struct Size {
    int64_t sessions = 0;
    int64_t context_tokens = 0;
  };
  static Result<Size> size(const recipes::Recipe& recipe, const TrainingModelFiles& files);

  // Of the cache and the workspace on the model's chip, and of logits on the host; `model` may be that of a plan.
  static Result<int64_t> bytes(const TrainableModel& model, const Size& size);

  // Model and files outlive the rollout.
  static Result<Rollout> open(const TrainableModel& model, const TrainingModelFiles& files,
                              const recipes::Recipe& recipe);
  // After each change of the weights.
  void weights_changed() { engine_->weights_changed(); }
  engine::Engine& engine() { return *engine_; }

  // One answer a prompt, special tokens left out; prompts run together.
  struct Options {
    int64_t max_tokens = 64;
    double temperature = 0;
    bool is_chat = false;                    // prompts are a user's messages; else plain text that goes on
    std::function<bool()> should_stop = {};  // asked at every token: kCancelled where it says so
  };
  Result<std::vector<std::string>> answer(const std::vector<std::string>& prompts, const Options& options);
  // The same of ids, as ids, without the token that ended an answer. A prompt that does not fit has no answer.
  Result<std::vector<std::vector<int32_t>>> answer_ids(std::vector<std::vector<int32_t>> prompts,
                                                       const Options& options);

  // Answers to be learnt from, drawn as the recipe says: of each prompt in turn `answers`, with the log-probability of
  // every token in the distribution that it was drawn from, and the tokens that were kept where some were dropped.
  // `first` is the number of the first in the whole run, and says with the seed which random numbers an answer takes.
  struct SampleOptions {
    int64_t answers = 1;
    int64_t max_tokens = 64;
    uint32_t first = 0;
    std::function<bool()> should_stop = {};
  };
  Result<std::vector<SampledAnswer>> sample(const std::vector<std::vector<int32_t>>& prompts,
                                            const SampleOptions& options);
  // Special tokens left out, and of an answer the token that ended it, special or not.
  std::string text_of(const std::vector<int32_t>& ids) const { return files_->tokenizer->decode(ids, true); }
  std::string text_of(const SampledAnswer& answer) const;

 private:
  Rollout() = default;
  const TrainingModelFiles* files_ = nullptr;
  const recipes::Recipe* recipe_ = nullptr;
  std::unique_ptr<engine::Engine> engine_;
};

}  // namespace naru::train
