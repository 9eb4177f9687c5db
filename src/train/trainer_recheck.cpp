// The rechecks of a run (guard.recheck_every): of every so many steps the gradient, and then the update, are computed
// from the same state until two results are alike. What came out otherwise is said, counted, and thrown away. With each
// step rechecked the state between two of them is compared as well.
#include <fmt/format.h>

#include <bit>
#include <ctime>

#include "train/micro_sums.h"
#include "train/policy_loss.h"
#include "train/trainer_state.h"

namespace naru::train {
namespace {

constexpr int64_t kTriesMax = 8;  // of one thing

std::string utc_now() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&now, &parts);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday,
                     parts.tm_hour, parts.tm_min, parts.tm_sec);
}

std::string bits_text(double value) {
  return fmt::format("{:016x} ", std::bit_cast<uint64_t>(value));
}

// What else a step keeps of its gradient.
std::string gradient_text(const StepGradients& step, const std::vector<std::vector<int64_t>>& loads) {
  std::string text = bits_text(step.norm) + bits_text(step.losses.main) + bits_text(step.losses.balance);
  for (const double loss : step.losses.predictions) text += bits_text(loss);
  for (const std::vector<int64_t>& layer : loads) {
    for (const int64_t n : layer) text += fmt::format("{} ", n);
  }
  return text;
}

}  // namespace

bool RunningTrainer::is_rechecked() const {
  const int64_t every = recipe_.guard.recheck_every;
  return every > 0 && (state_.step + 1) % every == 0;
}

// `attempt` is told which try it is, from 1, and in what its result differs from that of the try before.
Status RunningTrainer::until_two_agree(
    const std::string& what, const std::function<Result<std::string>(int64_t n, check::BitDifference&)>& attempt) {
  check::Tries tries;
  std::string first_found;
  for (int64_t n = 1; n <= kTriesMax; ++n) {
    check::BitDifference difference;
    const Result<std::string> own = attempt(n, difference);
    if (is_cut_short_) return own.ok() ? Status() : Status(own.error());
    std::string result = own.ok() ? *own : fmt::format("{}: {}", code_name(own.error().code), own.error().message);
    const std::string found = !own.ok() ? "an error: " + own.error().message : difference.text();
    NARU_ASSIGN(const std::vector<std::string> all, peers_->gather(std::move(result)));
    std::string together;
    for (const std::string& each : all) together += each + '\n';
    if (tries.agrees(std::move(together))) {
      if (!own.ok()) return own.error();
      return n > 2 ? count_differences(n - 2) : Status();
    }
    if (n == 1 && own.ok()) continue;  // nothing to hold it against
    NARU_TRY(say_difference(what, n, found));
    if (first_found.empty()) first_found = found;
  }
  return no_agreement(what, first_found.empty() ? "what is not in these values" : first_found);
}

Error RunningTrainer::no_agreement(const std::string& what, const std::string& found) const {
  return {Code::kInternal,
          fmt::format("rechecking {}: {} tries on chip {} gave {} results, and two alike were wanted; at first {}; the "
                      "chip or its memory is not to be trusted: go on from the last checkpoint on another one, and see "
                      "what `naru check` says of this one",
                      what, kTriesMax, chip_.info().name, kTriesMax, found)};
}

Status RunningTrainer::say_difference(const std::string& what, int64_t n, const std::string& found) {
  const std::string text = fmt::format("{}: {}, try {}: {}", utc_now(), what, n,
                                       found.empty() ? "another result, though no value differs" : found);
  note("recheck: " + text + "; computing it again");
  return is_writer() ? run_->set({{"recheck_found", text}}, {}) : Status();
}

Status RunningTrainer::count_differences(int64_t n) {
  state_.n_differences += n;
  n_differences_of_step_ += n;
  return is_writer() ? run_->set({}, {{"recheck_differences", static_cast<double>(state_.n_differences)}}) : Status();
}

// The values that an update changes, and the moments.
HostValues RunningTrainer::host_state() const {
  HostValues state;
  for (size_t i = 0; i < model_->parameters().size(); ++i) {
    const auto index = static_cast<int64_t>(i);
    const std::string& name = model_->parameters()[i].name;
    const bool is_moved = model_->is_trained(index) || recipe_.lora.rank == 0;
    if (is_moved) state.add("the value of " + name, model_->values().view(index));
    if (optimizer_->first().holds(index)) state.add("the first moment of " + name, optimizer_->first().view(index));
    if (optimizer_->second().holds(index)) state.add("the second moment of " + name, optimizer_->second().view(index));
  }
  return state;
}

// Before a step that is rechecked: the state on the host. Where it is the one that was agreed on, memory has kept it.
Status RunningTrainer::keep_state() {
  if (!kept_state_ || kept_step_ != state_.step) {
    kept_state_ = host_state();
    NARU_ASSIGN(const std::string hash, kept_state_->keep(chip_));
    kept_step_ = state_.step;
    return {};
  }
  check::BitDifference difference;
  NARU_ASSIGN(const std::string hash, kept_state_->compare(chip_, difference));
  if (difference.n_values() == 0) return {};
  NARU_TRY(say_difference(fmt::format("step {}, the memory since the step before", state_.step), 1, difference.text()));
  NARU_TRY(count_differences(1));
  NARU_TRY(kept_state_->put_back(chip_));
  return model_->refresh();
}

Result<StepGradients> RunningTrainer::step_gradients(const data::StepBatch& batch, bool from_values) {
  StepGradients step;
  loads_.clear();
  NARU_ASSIGN(step.sum, gradients(batch, &step.losses, from_values));
  NARU_ASSIGN(step.norm, optimizer_->gradient_norm(*step.sum));
  return step;
}

Result<StepGradients> RunningTrainer::agreed_gradients(const data::StepBatch& batch) {
  NARU_TRY(keep_state());
  StepGradients step;
  HostValues before;
  const auto attempt = [&](int64_t n, check::BitDifference& difference) -> Result<std::string> {
    NARU_ASSIGN(step, step_gradients(batch, n > 1));
    HostValues now;
    for (size_t i = 0; i < model_->parameters().size(); ++i) {
      const auto index = static_cast<int64_t>(i);
      if (step.sum->holds(index)) now.add("the gradient of " + model_->parameters()[i].name, step.sum->view(index));
    }
    std::string hash;
    if (before.bytes() > 0) {
      now.take_values(before);
      before = HostValues();  // has none any more, also where what follows fails
      NARU_ASSIGN(hash, now.compare(chip_, difference));
    }
    if (hash.empty() || difference.n_values() > 0) {
      NARU_ASSIGN(hash, now.keep(chip_));
    }
    before = std::move(now);
    return hash + " " + gradient_text(step, loads_);
  };
  NARU_TRY(until_two_agree(fmt::format("the gradient of step {}", state_.step), attempt));
  return step;
}

Status RunningTrainer::update_once(const ParameterBuffer& grads, double lr, double scale) {
  NARU_TRY(optimizer_->update(grads, lr, scale, state_.updates + 1));
  NARU_TRY(move_routing_bias());
  NARU_TRY(model_->refresh());
  return chip_.wait();
}

Status RunningTrainer::agreed_update(const ParameterBuffer& grads, double lr, double scale) {
  HostValues after = host_state();
  bool is_kept = false;
  const auto attempt = [&](int64_t n, check::BitDifference& difference) -> Result<std::string> {
    if (n > 1) NARU_TRY(kept_state_->put_back(chip_));
    NARU_TRY(update_once(grads, lr, scale));
    std::string hash;
    if (is_kept) {
      NARU_ASSIGN(hash, after.compare(chip_, difference));
    }
    if (hash.empty() || difference.n_values() > 0) {
      NARU_ASSIGN(hash, after.keep(chip_));
    }
    is_kept = true;
    return hash;
  };
  NARU_TRY(until_two_agree(fmt::format("the update of step {}", state_.step), attempt));
  kept_state_ = std::move(after);
  kept_step_ = state_.step + 1;
  return {};
}

// The losses of one micro-batch of a validation. No process waits for another here.
Result<MicroSums> RunningTrainer::agreed_losses(const data::MicroBatch& batch) {
  const std::string what = fmt::format("the validation after step {}", state_.step);
  check::Tries tries;
  for (int64_t n = 1; n <= kTriesMax; ++n) {
    if (n > 1) NARU_TRY(model_->refresh());
    auto result = model_->run(batch, {}, nullptr);
    const std::string text = result.ok() ? bits_text(result->sums.loss) : "an error: " + result.error().message;
    if (tries.agrees(text)) {
      if (n > 2) NARU_TRY(count_differences(n - 2));
      if (!result.ok()) return std::move(result).error();
      return std::move(result->sums);
    }
    if (n == 1 && result.ok()) continue;
    NARU_TRY(say_difference(what, n, result.ok() ? fmt::format("a loss of {}", result->sums.loss) : text));
  }
  return no_agreement(what, "losses");
}

Status RunningTrainer::exported_value(int64_t index, float* out) {
  if (recipe_.guard.recheck_every == 0 || recipe_.lora.rank == 0) return model_->merged_value(index, out);
  const models::Parameter& parameter = model_->parameters()[static_cast<size_t>(index)];
  const std::string what = fmt::format("the result's {}", parameter.name);
  check::Tries tries;
  for (int64_t n = 1; n <= kTriesMax; ++n) {
    NARU_TRY(model_->merged_value(index, out));
    Sha256 hash;
    hash.update(std::as_bytes(std::span<const float>(out, static_cast<size_t>(parameter.n_elements()))));
    if (tries.agrees(hash.finish_hex())) return n > 2 ? count_differences(n - 2) : Status();
    if (n > 1) NARU_TRY(say_difference(what, n, "other values"));
  }
  return no_agreement(what, "values");
}

// An answer that its trainer disagrees with at every try was drawn wrongly: it is drawn again, while the weights that
// it is of are there.
bool RunningTrainer::drops_rollout(const Error& error) {
  if (!is_rechecked() || error.failed.op != kChangedToken || !batches_->kept(state_.step).empty()) return false;
  note(fmt::format("recheck: step {}: its rollout is not what the trainer computes; drawing it again", state_.step));
  return batches_->restore(state_.step, "").ok() && count_differences(1).ok();
}

}  // namespace naru::train
