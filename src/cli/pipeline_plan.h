// The recipes of a pipeline's stages as they are run, with the places of what they have from one another, and as they
// are planned before those places hold anything.
#pragma once

#include <filesystem>

#include "cli/train.h"
#include "recipes/pipeline.h"

namespace naru::cli {

// With all that the recipes name found: models, teachers and samples of other stages in the folders of their runs.
Result<recipes::Pipeline> pipeline_of(const TrainOptions& options);
std::filesystem::path stage_folder(const recipes::Stage& stage);

// The recipe of a stage as it can be planned before the stages that it waits for are done: the model that theirs begin
// with in the place of theirs, and problems like those they are drawn for in the place of samples.
recipes::Recipe planned_recipe(const recipes::Pipeline& pipeline, size_t stage);
// Whether a plan of that recipe has other data than the run will have: its steps may be others where it has epochs.
bool waits_for_samples(const recipes::Stage& stage);

}  // namespace naru::cli
