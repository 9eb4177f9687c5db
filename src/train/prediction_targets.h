// What prediction layers (MTP) learn from: at depth d, row t sees the token d + 1 places on and predicts the one
// after it. Rows at the end of a document, whose tokens lie behind it, see their own token and have no target.
#pragma once

#include "data/batches.h"

namespace naru::train {

struct PredictionTargets {
  std::vector<int32_t> ids;      // [T]
  std::vector<int32_t> targets;  // [T]
  std::vector<float> weights;    // [T]
};
PredictionTargets prediction_targets(const data::MicroBatch& batch, int64_t depth);

// The sum of the weights of each depth in [0, n_depths), over the micro-batches of a step.
std::vector<double> prediction_divisors(const data::StepBatch& batch, int64_t n_depths);

}  // namespace naru::train
