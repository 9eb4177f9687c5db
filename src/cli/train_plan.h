// What a run takes, as `naru train` says it before the first step and `naru train --plan` instead of one.
#pragma once

#include <filesystem>
#include <string>

#include "cli/json_text.h"
#include "cli/terminal.h"
#include "cli/train.h"

namespace naru::cli {

// `operations_per_s`: the peak of this machine, for the least time of a step; 0: nothing is said of it.
std::string plan_text(const recipes::Recipe& recipe, const train::TrainingPlan& plan, Stream stream = Stream::kErr,
                      double operations_per_s = 0);
Json plan_json(const train::TrainingPlan& plan);

// Operations of a step whose rows, or prompts with answers, are all as long as the context: the most that it can cost.
// Of reinforcement learning also what writing the answers costs.
double step_operations(const recipes::Recipe& recipe, const train::TrainingPlan& plan);

// --plan: prints, and changes nothing. An error where the memory does not suffice.
Status say_plan(const TrainOptions& options, recipes::Recipe recipe, const std::filesystem::path& folder,
                contract::Chip& chip);

}  // namespace naru::cli
