// Rollout: answers of the model in training, made by the engine on the trainer's own values (adapters merged).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "train/data/generators.h"
#include "train/training_model_files.h"

namespace naru::train {

class Rollout {
 public:
  // What the engine is opened for: answers together, and tokens of one with its prompt. No sessions: the recipe asks
  // for no answers.
  struct Size {
    int64_t sessions = 0;
    int64_t context_tokens = 0;
  };
  static Result<Size> size(const Recipe& recipe, const TrainingModelFiles& files);

  // The engine packs the values; the model may go on changing afterwards.
  static Result<Rollout> open(TrainableModel& model, const TrainingModelFiles& files, const Recipe& recipe);

  // One answer a prompt, special tokens left out; prompts run together.
  struct Options {
    int64_t max_tokens = 64;
    double temperature = 0;
    bool is_chat = false;  // prompts are a user's messages; else plain text that goes on
  };
  Result<std::vector<std::string>> answer(const std::vector<std::string>& prompts, const Options& options);

  // The share of held-out problems of a generator that are answered rightly, greedily.
  Result<double> accuracy(const SourceRecipe& source, int64_t n_problems, bool is_chat);

 private:
  Rollout() = default;
  const TrainingModelFiles* files_ = nullptr;
  const Recipe* recipe_ = nullptr;
  std::vector<std::vector<float>> merged_;  // values of the parameters, while the engine packs them
  std::unique_ptr<engine::Engine> engine_;
};

}  // namespace naru::train
