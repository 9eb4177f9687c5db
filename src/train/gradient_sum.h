// GradientSum: the gradients of a step from those of its micro-batches (docs/arithmetic.md section 7). Micro-batches
// are cut into `groups` absolute runs; a run adds up as it goes; runs add by the aligned tree. Which process computes a
// run changes no bit, and few copies of the gradients are alive at once.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "train/trainable_model.h"

namespace naru::train {

class GradientSum {
 public:
  explicit GradientSum(const TrainableModel& model) : model_(&model) {}

  // accumulate(i, grads) adds the gradients of micro-batch i. The sum stays valid until the next call.
  using Accumulate = std::function<Status(int64_t index, const ParameterBuffer& grads)>;
  Result<const ParameterBuffer*> run(int64_t n_micro_batches, int64_t groups, const Accumulate& accumulate);

  // Copies that a step of so many micro-batches keeps at most.
  static int64_t copies(int64_t n_micro_batches, int64_t groups);

 private:
  using Copy = std::unique_ptr<ParameterBuffer>;
  Result<Copy> take();
  // Runs [begin, end) of `groups`; begin is a multiple of the (power of two) size of the range. Null: no run of it has
  // a micro-batch.
  Result<Copy> sum(int64_t begin, int64_t size, int64_t n, int64_t groups, const Accumulate& accumulate);

  const TrainableModel* model_;
  std::vector<Copy> free_;
  Copy result_;
};

}  // namespace naru::train
