// GradientSum: the gradients of a step from those of its micro-batches (docs/arithmetic.md section 7). Micro-batches
// are cut into absolute groups; a group adds up as it goes; groups add by the aligned tree. Which process computes a
// group changes no bit, and few copies of the gradients are alive at once.
//
// Of several processes each computes one aligned part of the tree; parts then add along the tree's upper levels, and
// the sum goes to all. There are as many parts as the largest power of two that is neither above the processes nor
// above the leaves: a process beyond them computes nothing.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "train/peers.h"
#include "train/trainable_model.h"

namespace naru::train {

class GradientSum {
 public:
  GradientSum(const TrainableModel& model, Peers& peers) : model_(&model), peers_(&peers) {}

  // accumulate(i, grads) adds the gradients of micro-batch i; only those of this process, ascending. settle() is told
  // how that went and says how it went everywhere, the same at all: where it is an error nothing is added. The sum
  // stays valid until the next call.
  using Accumulate = std::function<Status(int64_t index, const GradientBuffer& grads)>;
  using Settle = std::function<Status(Status own)>;
  Result<const ParameterBuffer*> run(int64_t n_micro_batches, int64_t groups, const Accumulate& accumulate,
                                     const Settle& settle);

  // Copies that a step of so many micro-batches keeps at most.
  static int64_t copies(int64_t n_micro_batches, int64_t groups);

 private:
  using Copy = std::unique_ptr<GradientBuffer>;
  Result<Copy> take();
  // Groups [begin, begin + size) of `groups`; begin is a multiple of size, a power of two. Null: none of them has a
  // micro-batch.
  Result<Copy> sum(int64_t begin, int64_t size, int64_t n, int64_t groups, const Accumulate& accumulate);
  // The parts of `owners`, -1 where a part has no micro-batch, to one sum that every process has.
  Result<Copy> join(Copy mine, std::vector<int64_t> owners);

  const TrainableModel* model_;
  Peers* peers_;
  std::vector<Copy> free_;
  Copy result_;
};

}  // namespace naru::train
