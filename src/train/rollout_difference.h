// Why a token's log-probability in training is not what its rollout said (PolicyLoss::weigh): its sequence is computed
// again both ways, whole as the trainer does and by prompt and then token by token over a cache as rollouts do, and the
// first output of an op that differs is named (check/recording.h).
#pragma once

#include "recipes/recipe.h"
#include "train/policy_loss.h"
#include "train/rollout.h"

namespace naru::train {

// `error` is that of PolicyLoss::weigh() for this micro-batch, of the present weights; the same comes back with what
// was found and what to do. It opens an engine: the run's own should be gone.
Error explain_difference(Error error, TrainableModel& model, const Rollout::Size& size, const data::MicroBatch& batch,
                         const LogProbLoss& loss);

}  // namespace naru::train
