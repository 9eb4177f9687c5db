// naru train PIPELINE: the stages one after another, each as a run of its own, and their models asked problems. Started
// again it goes on where it was.
#pragma once

#include "cli/train.h"

namespace naru::cli {

Status train_pipeline(const TrainOptions& options);

}  // namespace naru::cli
