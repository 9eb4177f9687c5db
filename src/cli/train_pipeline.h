// naru train PIPELINE: the stages one after another, each as a run of its own. Started again it goes on where it was.
#pragma once

#include "cli/train.h"
#include "recipes/pipeline.h"

namespace naru::cli {

Status train_pipeline(const TrainOptions& options);

// The recipe of a stage as it can be planned before the stages that it waits for have a model: theirs in its place.
recipes::Recipe planned_recipe(const recipes::Pipeline& pipeline, size_t stage);

}  // namespace naru::cli
