// The rechecks of a run (guard.recheck_every): of every so many steps the gradient, and then the update, are computed
// from the same state until two results are alike. What came out otherwise is said, counted, and thrown away. With each
// step rechecked the state between two of them is compared as well. A try that ends with an error has no result: errors
// are alike to nothing.
#include <fmt/format.h>

#include <bit>
#include <ctime>

#include "check/agreement.h"
#include "train/micro_sums.h"
#include "train/policy_loss.h"
#include "train/trainer_state.h"

namespace naru::train {
namespace {

constexpr int64_t kTriesMax = 8;  // of one thing

// Before the text of a try that ended with an error, in what processes tell each other.
constexpr char kErrorMark = '!';

// A chip that is asked again may do without these; other errors come again.
bool may_be_the_chips(Code code) {
  return code == Code::kOutOfRange || code == Code::kInternal || code == Code::kUnavailable ||
         code == Code::kResourceExhausted;
}

// Two tries that find the rollout wrong are alike in that.
bool is_result(const Result<std::string>& own) {
  return own.ok() || own.error().failed.op == kChangedToken;
}

std::string counted(int64_t n, std::string_view one, std::string_view many) {
  return fmt::format("{} {}", n, n == 1 ? one : many);
}

// What the tries at one thing gave.
class GivenResults {
 public:
  // Notes a result; true where an earlier one was the same.
  bool agrees(std::string result) { return tries_.agrees(std::move(result)); }
  void failed(const Error& error) {
    is_one_code_ = is_one_code_ && (n_errors_ == 0 || error_.code == error.code);
    is_one_text_ = is_one_text_ && (n_errors_ == 0 || error_.message == error.message);
    error_ = error;
    ++n_errors_;
  }
  // Nothing to hold the one result against.
  bool has_one() const { return tries_.count() == 1; }
  std::string text(const contract::Chip& chip) const {
    const int64_t n_results = tries_.count();
    std::string text =
        fmt::format("{} on chip {} gave ", counted(n_results + n_errors_, "try", "tries"), chip.info().name);
    if (n_results > 0) text += counted(n_results, "result", "results, no two alike");
    if (n_results > 0 && n_errors_ > 0) text += " and ";
    if (n_errors_ > 0) text += fmt::format("{}, the last: {}", counted(n_errors_, "error", "errors"), error_.message);
    return text;
  }
  // How all of them ended, where that was alike.
  Code code() const { return tries_.count() == 0 && is_one_code_ ? error_.code : Code::kInternal; }
  // Numbers that go wrong in the same place each time are the model's, and not the chip's.
  bool is_of_model() const { return code() == Code::kOutOfRange && is_one_text_; }

 private:
  check::Tries tries_;
  int64_t n_errors_ = 0;
  Error error_;  // the last one
  bool is_one_code_ = true, is_one_text_ = true;
};

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
  GivenResults given;
  std::string first_found;
  for (int64_t n = 1; n <= kTriesMax; ++n) {
    check::BitDifference difference;
    const Result<std::string> own = attempt(n, difference);
    if (is_cut_short_) return own.ok() ? Status() : Status(own.error());
    std::string result = own.ok() ? *own : fmt::format("{}: {}", code_name(own.error().code), own.error().message);
    const std::string found = !own.ok() ? "an error: " + own.error().message : difference.text();
    if (!is_result(own)) result.insert(result.begin(), kErrorMark);
    NARU_ASSIGN(const std::vector<std::string> all, peers_->gather(std::move(result)));
    std::string together;
    bool is_complete = true;
    for (const std::string& each : all) {
      is_complete = is_complete && !each.starts_with(kErrorMark);
      together += each + '\n';
    }
    if (!is_complete) {
      given.failed(own.ok() ? Error{Code::kInternal, "another process had one"} : own.error());
    } else if (given.agrees(std::move(together))) {
      if (!own.ok()) return own.error();
      return n > 2 ? count_differences(n - 2) : Status();
    }
    if (is_complete && own.ok() && given.has_one()) continue;
    NARU_TRY(say_difference(what, n, found));
    if (first_found.empty() && own.ok()) first_found = found;
  }
  const std::string first = first_found.empty() ? "" : "; at first " + first_found;
  return no_agreement(what, given.text(chip_) + first, given.code(), given.is_of_model());
}

Error RunningTrainer::no_agreement(const std::string& what, const std::string& given, Code code,
                                   bool is_of_model) const {
  const std::string next = fmt::format(
      "; the chip or its memory is not to be trusted: go on from the last checkpoint on another one, and see what `{}` "
      "says of this one",
      check_command());
  return {code,
          fmt::format("rechecking {}: {}; two results alike were wanted{}", what, given, is_of_model ? "" : next)};
}

// A fault was put in front of it, or it is not the CPU's own.
bool RunningTrainer::is_in_doubt() const {
  const std::string name = chip_.info().name;
  return !start_.fault.empty() || (name != "cpu" && name != "reference");
}

std::string RunningTrainer::check_command() const {
  const std::string fault = start_.fault.empty() ? "" : " --inject " + start_.fault;
  return fmt::format("naru check --chip {}{}", chip_.info().name, fault);
}

// What else numbers that went wrong are advised by.
std::string RunningTrainer::chip_advice() const {
  if (!is_in_doubt()) return "";
  const std::string_view again = recipe_.guard.recheck_every == 1
                                     ? ""
                                     : "guard.recheck_every=1 computes again what comes out wrong now and then, and ";
  return fmt::format("; or chip {} is to blame: {}`{}` says what it gets wrong", chip_.info().name, again,
                     check_command());
}

Error RunningTrainer::failed_answers(const std::string& what, Error error) const {
  const bool is_not_finite = error.code == Code::kOutOfRange;
  error.message = fmt::format("answering {}, on chip {}: {}; the same command goes on from step {} and asks again{}{}",
                              what, chip_.info().name, error.message, state_.step,
                              is_not_finite ? ", and where that fails too, lower optimizer.lr" : "", chip_advice());
  return error;
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
  MicroSums sums;
  std::string found;
  const auto attempt = [&](int64_t n) -> Result<std::string> {
    if (n > 1) NARU_TRY(model_->refresh());
    NARU_ASSIGN(TrainableModel::MicroResult result, model_->run(batch, {}, nullptr));
    sums = std::move(result.sums);
    found = fmt::format("a loss of {}", sums.loss);
    return bits_text(sums.loss);
  };
  NARU_TRY(own_two_agree(what, attempt, found));
  return sums;
}

// As until_two_agree, of what one process does for itself; `otherwise`: what the last attempt found, in words.
Status RunningTrainer::own_two_agree(const std::string& what,
                                     const std::function<Result<std::string>(int64_t n)>& attempt,
                                     const std::string& otherwise) {
  GivenResults given;
  for (int64_t n = 1; n <= kTriesMax; ++n) {
    const Result<std::string> own = attempt(n);
    if (!own.ok()) given.failed(own.error());
    if (own.ok() && given.agrees(*own)) return n > 2 ? count_differences(n - 2) : Status();
    if (own.ok() && given.has_one()) continue;
    NARU_TRY(say_difference(what, n, own.ok() ? otherwise : "an error: " + own.error().message));
  }
  return no_agreement(what, given.text(chip_), given.code(), given.is_of_model());
}

Status RunningTrainer::exported_value(int64_t index, float* out) {
  if (recipe_.guard.recheck_every == 0 || recipe_.lora.rank == 0) return model_->merged_value(index, out);
  const models::Parameter& parameter = model_->parameters()[static_cast<size_t>(index)];
  const auto attempt = [&](int64_t) -> Result<std::string> {
    NARU_TRY(model_->merged_value(index, out));
    Sha256 hash;
    hash.update(std::as_bytes(std::span<const float>(out, static_cast<size_t>(parameter.n_elements()))));
    return hash.finish_hex();
  };
  return own_two_agree(fmt::format("the result's {}", parameter.name), attempt, "other values");
}

// Answers that are shown and not learnt from: false where no try counted, which ends no run that could go on. Of a
// rechecked step two must be alike; of others an answer without an error is enough. Without rechecks the first error
// ends the run, as it may be one of the weights.
Result<bool> RunningTrainer::try_to_answer(const std::string& what,
                                           const std::function<Result<std::string>()>& attempt) {
  const int64_t every = recipe_.guard.recheck_every;
  const int64_t n_wanted = every > 0 && state_.step % every == 0 ? 2 : 1;
  GivenResults given;
  Status made;
  for (int64_t n = 1; n <= kTriesMax; ++n) {
    made = n > 1 ? model_->refresh() : Status();
    const Result<std::string> own = made.ok() ? attempt() : Result<std::string>(made.error());
    if (!own.ok() && !may_be_the_chips(own.error().code)) return own.error();
    if (!own.ok() && every == 0) return failed_answers(what, own.error());
    if (!own.ok()) {
      given.failed(own.error());
      rollout_.reset();  // what it was in the middle of, and its cache, are not gone on with
    } else if (given.agrees(*own) || n_wanted == 1) {
      if (n > n_wanted) NARU_TRY(count_differences(n - n_wanted));
      return true;
    }
    if (own.ok() && given.has_one()) continue;
    NARU_TRY(say_difference(what, n, own.ok() ? "other answers" : "an error: " + own.error().message));
  }
  note(
      fmt::format("recheck: {}: {}; left out, as nothing is learnt from them, and the run goes on; see what `{}` says "
                  "of the chip",
                  what, given.text(chip_), check_command()));
  NARU_TRY(count_differences(kTriesMax));
  if (!made.ok()) NARU_TRY(model_->refresh());  // nothing is trained with matrices that are half made
  return false;
}

// An answer that its trainer disagrees with at every try was drawn wrongly: it is drawn again, while the weights that
// it is of are there.
bool RunningTrainer::drops_rollout(const Error& error) {
  if (!is_rechecked() || error.failed.op != kChangedToken || !batches_->kept(state_.step).empty()) return false;
  note(fmt::format("recheck: step {}: its rollout is not what the trainer computes; drawing it again", state_.step));
  return batches_->restore(state_.step, "").ok() && count_differences(1).ok();
}

}  // namespace naru::train
