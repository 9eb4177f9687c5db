// ReferencePolicy: the policy that another is kept near to (policy_loss.h): a second set of the values that are
// trained, routing biases among them. Of a run with adapters those are the adapters alone: as they are drawn they
// change nothing, so that the first reference is the base itself.
//
// For what it says of answers its values take the place of the model's, and go back: nothing else is there twice.
#pragma once

#include <functional>
#include <vector>

#include "train/trainable_model.h"

namespace naru::train {

class ReferencePolicy {
 public:
  // Of the model's present values. Of a model on a planner: what it takes.
  static Result<ReferencePolicy> create(const TrainableModel& model);

  bool holds(int64_t index) const { return values_.holds(index); }
  const ParameterBuffer& values() const { return values_; }
  Result<std::string> sha256(contract::Chip& chip) const;

  // The model's present values are the reference from now on.
  Status renew(const TrainableModel& model);
  // Values of parameter `index`, from the host.
  Status set(contract::Chip& chip, int64_t index, const float* values);

  // Gives every micro-batch one more signal: of each row with a weight log p of its target (LogProbLoss::temperature),
  // else +0. The model fits them (reserve()), and is the same to the bit afterwards, kCancelled or not.
  Status refer(TrainableModel& model, double temperature, std::vector<data::StepBatch>& batches,
               const std::function<bool()>& should_stop) const;

 private:
  ReferencePolicy() = default;
  Status exchange(TrainableModel& model) const;

  ParameterBuffer values_;
};

}  // namespace naru::train
