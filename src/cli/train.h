// naru train: one run of a recipe.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cli/options.h"
#include "train/trainer.h"

namespace naru::cli {

struct TrainOptions {
  std::string recipe_path;
  std::vector<std::string> overrides;
  std::optional<std::string> output;
  ModelOptions machine;  // chip and threads
  train::StartOptions start;
  bool json = false;
};

Command make_train();
Status train_command(const TrainOptions& options);

}  // namespace naru::cli
