// The reference policy of a run: the start, or the weights of its last multiple of grpo.reference_every. The start is
// read from the model's files again, and checked by its hash; any other is kept in the checkpoints.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "train/adapters.h"
#include "train/trainer_state.h"

namespace naru::train {

Status RunningTrainer::make_reference() {
  if (!is_grpo() || recipe_.grpo.kl_weight == 0) return {};
  NARU_ASSIGN(reference_, ReferencePolicy::create(*model_));
  NARU_ASSIGN(start_sha256_, reference_->sha256(chip_));
  return {};
}

Status RunningTrainer::renew_reference() {
  const int64_t every = recipe_.grpo.reference_every;
  if (!reference_ || every == 0 || state_.step % every != 0 || state_.step == state_.reference_step) return {};
  NARU_TRY(reference_->renew(*model_));
  state_.reference_step = state_.step;
  note(fmt::format("step {}: its weights are the reference from here on", state_.step));
  return {};
}

Status RunningTrainer::refer(std::vector<data::StepBatch>& batches) {
  for (const data::StepBatch& batch : batches) NARU_TRY(make_room(batch));
  return reference_->refer(*model_, recipe_.grpo.temperature, batches, events_.should_stop);
}

Status RunningTrainer::read_start() {
  std::vector<float> values;
  const auto n_own = std::ssize(files_.parameters);
  for (int64_t i = 0; i < std::ssize(model_->parameters()); ++i) {
    if (!reference_->holds(i)) continue;
    const models::Parameter& parameter = model_->parameters()[static_cast<size_t>(i)];
    values.resize(static_cast<size_t>(parameter.n_elements()));
    if (i < n_own) {
      NARU_TRY(files_.read(i, recipe_, values.data()));
    } else {
      draw_adapter(parameter, i, recipe_.seed, values.data());
    }
    NARU_TRY(reference_->set(chip_, i, values.data()));
  }
  return {};
}

// `began_with` is the start's hash, as a checkpoint that has no other reference keeps it.
Status RunningTrainer::restore_reference(const CheckpointInfo& checkpoint, int64_t reference_step,
                                         const std::string& began_with) {
  if (!reference_) return {};
  if (reference_step == 0) {
    if (began_with != start_sha256_) {
      return Error{Code::kInvalidArgument,
                   fmt::format("resuming from {}: the reference policy is the model of model.path, {}, and that is not "
                               "what the run began with: its hash is {}, {} was wanted; put the old one back, or begin "
                               "anew with --start-over or in another output=FOLDER",
                               checkpoint.folder.string(), recipe_.model.path, start_sha256_.substr(0, 12),
                               began_with.empty() ? "one" : began_with.substr(0, 12))};
    }
    return state_.reference_step == 0 ? Status() : read_start();
  }
  NARU_ASSIGN(const formats::TensorFiles file, open_checkpoint_file(checkpoint, kReferenceFile));
  for (int64_t i = 0; i < std::ssize(model_->parameters()); ++i) {
    if (!reference_->holds(i)) continue;
    NARU_TRY(check_given_up());
    NARU_TRY(read_tensor(checkpoint, file, model_->parameters()[static_cast<size_t>(i)], reference_->values().view(i)));
  }
  return file.check_unchanged();
}

}  // namespace naru::train
