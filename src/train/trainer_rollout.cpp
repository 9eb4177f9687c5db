// What a run's rollouts need of it.
#include "train/rollout_difference.h"
#include "train/trainer_state.h"

namespace naru::train {

Result<Rollout*> RunningTrainer::rollout() {
  if (rollout_) {
    rollout_->weights_changed();
  } else {
    NARU_ASSIGN(rollout_, Rollout::open(*model_, files_, recipe_));
  }
  return &*rollout_;
}

Status RunningTrainer::keep_experts(data::StepBatch& batch) {
  NARU_TRY(make_room(batch));
  for (data::MicroBatch& micro : batch.micro_batches) {
    if (should_stop()) return Error{Code::kCancelled, "stopped in a rollout, which counts as not begun"};
    NARU_ASSIGN(micro.experts, model_->choose_experts(micro));
  }
  return {};
}

// An error of a micro-batch, with what differs where it is a token's log-probability.
Error RunningTrainer::explained(Error error, const data::MicroBatch& batch) {
  const auto* loss = std::get_if<std::shared_ptr<const LogProbLoss>>(&parts_.objective);
  // An objective of rows of logits compares what this one does.
  std::shared_ptr<const LogProbLoss> comparing;
  if (loss != nullptr) comparing = *loss;
  if (loss == nullptr && has_rollouts()) {
    PolicyOptions options;
    options.temperature = recipes::rollout_of(recipe_).temperature;
    comparing = std::make_shared<PolicyLoss>(options);
  }
  if (error.failed.op != kChangedToken || comparing == nullptr) return error;
  note("a token's log-probability differs from what its rollout said: computing it again both ways");
  rollout_.reset();  // gives its memory to the one that is opened now
  auto size = Rollout::size(recipe_, files_);
  if (!size.ok()) return error;
  return explain_difference(std::move(error), *model_, *size, batch, *comparing);
}

}  // namespace naru::train
