// SampledModel: the model that a run of kind rejection asks, before its weights are read: its files, how problems are
// put to it, and what it takes to answer them.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/result.h"
#include "engine/engine.h"
#include "models/model.h"
#include "recipes/recipe.h"
#include "samples/asked_problems.h"
#include "text/chat_tokenizer.h"

namespace naru::samples {

struct SampledModel {
  std::optional<models::ModelFiles> files;  // nothing: a config without weights
  int64_t context_max = 0;                  // of its config; 0: it does not say
  int64_t n_planned_parameters = 0;         // of a config without weights
  std::unique_ptr<text::ChatTokenizer> text;
  std::optional<std::string> own_template;  // the text of model.chat_template
  bool is_chat = false;                     // problems are put as a user's messages
  bool is_messages = false;                 // the form of lines

  // By which problems are put; null: as plain text.
  const text::ChatTemplate* chat_template() const { return is_chat ? &*text->chat_template : nullptr; }
};

// kUnsupported where problems are to be put by a chat template and the model has none that can be used.
Result<SampledModel> open_model(const recipes::Recipe& recipe, const std::filesystem::path& recipe_folder);

struct AnswerRoom {
  int64_t context_tokens = 0;
  int64_t at_once = 1;  // as many as are asked for and fit: it changes no answer
  models::ModelPlan model;
  engine::MemoryPlan memory;
};
// Of the longest prompt and its answer. The model has weights.
Result<AnswerRoom> plan_room(const SampledModel& model, const recipes::Recipe& recipe, const AskedPrompts& prompts,
                             const contract::Chip& chip);

// Reads the weights. `progress`: false cancels.
Result<std::unique_ptr<engine::Engine>> open_engine(SampledModel& model, const recipes::Recipe& recipe,
                                                    const AnswerRoom& room, contract::Chip& chip,
                                                    const models::LoadProgress& progress);

}  // namespace naru::samples
