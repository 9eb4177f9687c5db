// naru train: one run of a recipe.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cli/json_text.h"
#include "cli/options.h"
#include "cli/train_chip.h"
#include "train/trainer.h"

namespace naru::cli {

struct TrainOptions {
  std::string recipe_path;
  std::vector<std::string> overrides;
  std::optional<std::string> output;
  ModelOptions machine;  // chip and threads
  TrainChipOptions chip;
  train::StartOptions start;
  bool plan_only = false;
  bool json = false;
};

// A run as a stage of a pipeline; as it is, a run by itself.
struct TrainPart {
  check::FaultyChip* faulty = nullptr;  // the fault in front of the chip, at rest; null: none
  bool was_done = false;                // before: it is looked at, and nothing is said of it
  bool is_last = true;                  // what its model can be tried with is said
  Json* result = nullptr;               // where its JSON goes; null: standard output
};

Command make_train();
Status train_command(const TrainOptions& options);
// `folder`: of the recipe. The models that the recipe names are found.
Status train_recipe(const TrainOptions& options, const recipes::Recipe& recipe, const std::filesystem::path& folder,
                    contract::Chip& chip, const TrainPart& part);

// The command that asks the model of a run that is done, as a shell reads it.
std::string how_to_try(const recipes::Recipe& recipe, const std::filesystem::path& folder);

// The command that goes on with what was started, as a shell reads it.
std::string going_on(const TrainOptions& options);

}  // namespace naru::cli
