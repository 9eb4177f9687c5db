// naru sample, and the runs of recipes of kind rejection: a model's own good answers as training data. The command's
// flags make such a recipe; both are run in one way (sample_run.cpp).
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "cli/json_text.h"
#include "cli/options.h"
#include "cli/problem_flags.h"
#include "cli/train.h"
#include "recipes/recipe.h"
#include "samples/sampler.h"

namespace naru::cli {

struct SampleOptions {
  ModelOptions model;  // its path, chip and threads
  ProblemFlags asked;
  std::string out;
  std::vector<std::string> overrides;  // keys of a recipe of kind rejection
  samples::SampleStart start;
  bool plan_only = false;
  bool json = false;
};

Command make_sample();

// The recipe that the flags make.
Result<recipes::Recipe> sample_recipe(const SampleOptions& options);

// How a run of kind rejection is shown.
struct SampleShow {
  bool json = false;
  bool plan_only = false;
  bool explain = false;
  TrainPart part = {};
};
// `folder`: of the recipe. A run that is stopped as asked is kCancelled with an empty message.
Status run_samples(const recipes::Recipe& recipe, const std::filesystem::path& folder, contract::Chip& chip,
                   const samples::SampleStart& start, const SampleShow& show);

}  // namespace naru::cli
