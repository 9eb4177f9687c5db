// What is said of a run of kind rejection: its plan, its summary as a table, and as JSON.
#pragma once

#include <filesystem>
#include <string>

#include "cli/json_text.h"
#include "cli/terminal.h"
#include "recipes/recipe.h"
#include "samples/sampler.h"

namespace naru::cli {

std::string sample_plan_text(const recipes::Recipe& recipe, const samples::SamplePlan& plan, Stream stream);
Json sample_plan_json(const samples::SamplePlan& plan);

std::string sample_table(const std::filesystem::path& folder, const samples::SamplePlan& plan,
                         const samples::SampleResult& result);
Json sample_json(const std::filesystem::path& folder, const samples::SamplePlan& plan,
                 const samples::SampleResult& result);

}  // namespace naru::cli
