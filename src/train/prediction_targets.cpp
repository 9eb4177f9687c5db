#include "train/prediction_targets.h"

#include <numeric>

namespace naru::train {

PredictionTargets prediction_targets(const data::MicroBatch& batch, int64_t depth) {
  PredictionTargets result{batch.ids, std::vector<int32_t>(batch.ids.size(), 0),
                           std::vector<float>(batch.ids.size(), 0)};
  for (const data::DocumentRows& document : batch.documents) {
    const int64_t end = document.row_begin + document.n_rows - depth - 1;
    for (int64_t row = document.row_begin; row < end; ++row) {
      const auto here = static_cast<size_t>(row), there = static_cast<size_t>(row + depth + 1);
      result.ids[here] = batch.ids[there];
      result.targets[here] = batch.targets[there];
      result.weights[here] = batch.weights[there];
    }
  }
  return result;
}

std::vector<double> prediction_divisors(const data::StepBatch& batch, int64_t n_depths) {
  std::vector<double> sums;
  for (int64_t depth = 0; depth < n_depths; ++depth) {
    double sum = 0;
    for (const data::MicroBatch& micro : batch.micro_batches) {
      const PredictionTargets targets = prediction_targets(micro, depth);
      sum = std::accumulate(targets.weights.begin(), targets.weights.end(), sum);
    }
    sums.push_back(sum);
  }
  return sums;
}

}  // namespace naru::train
