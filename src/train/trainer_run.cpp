// The steps of a run.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>

#include "base/memory.h"
#include "base/sha256.h"
#include "base/stopwatch.h"
#include "contract/scalar.h"
#include "export/export.h"
#include "train/adapters.h"
#include "train/chip_values.h"
#include "train/micro_sums.h"
#include "train/prediction_targets.h"
#include "train/schedule.h"
#include "train/trainer_state.h"

namespace naru::train {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::string_view kAfterOverflow = "; the last checkpoint is whole: lower optimizer.lr, or warm up longer";
constexpr int64_t kRollBacksMax = 3;   // of a run
constexpr int64_t kRolloutsMax = 3;    // of a step, where rechecks drop them
constexpr int64_t kWatchedTimes = 10;  // of a run, about

int64_t n_documents(const data::StepBatch& batch) {
  int64_t n = 0;
  for (const data::MicroBatch& micro : batch.micro_batches) n += static_cast<int64_t>(micro.documents.size());
  return n;
}

// Of the experts of all layers, how many tokens the least and the most busy one got, over an even share of its layer's.
std::optional<std::pair<double, double>> spread_of(const std::vector<std::vector<int64_t>>& loads) {
  std::optional<std::pair<double, double>> spread;
  for (const std::vector<int64_t>& layer : loads) {
    const double total = static_cast<double>(std::accumulate(layer.begin(), layer.end(), int64_t{0}));
    if (total <= 0) continue;
    const auto [low, high] = std::minmax_element(layer.begin(), layer.end());
    const double even = total / static_cast<double>(layer.size());
    const double least = static_cast<double>(*low) / even, most = static_cast<double>(*high) / even;
    spread =
        spread ? std::pair(std::min(spread->first, least), std::max(spread->second, most)) : std::pair(least, most);
  }
  return spread;
}

std::optional<double> value_of(const runs::Metrics& metrics, std::string_view name) {
  for (const auto& [key, value] : metrics.values) {
    if (key == name) return value;
  }
  return std::nullopt;
}

}  // namespace

Result<const ParameterBuffer*> RunningTrainer::gradients(const data::StepBatch& batch, StepLosses* losses,
                                                         bool from_values) {
  const double alpha = files_.config.moe.experts > 0 ? recipe_.loss.balance : 0;
  const TrainableModel::StepScale scale{
      .divisor = batch.divisor,
      .balance_weight = alpha / static_cast<double>(std::max<int64_t>(1, n_documents(batch))),
      .prediction_weight = recipe_.loss.mtp,
      .prediction_divisors = prediction_divisors(batch, files_.config.mtp_layers)};
  std::vector<std::optional<MicroSums>> mine(batch.micro_batches.size());
  const Status begun = from_values ? model_->refresh() : Status();
  const auto accumulate = [&](int64_t i, const GradientBuffer& grads) -> Status {
    NARU_TRY(begun);
    if (should_stop()) return Error{Code::kCancelled, "stopped in the middle of a step, which was not done"};
    const data::MicroBatch& micro = batch.micro_batches[static_cast<size_t>(i)];
    auto result = model_->run(micro, scale, &grads, parts_.objective);
    if (!result.ok()) return explained(std::move(result).error(), micro);
    mine[static_cast<size_t>(i)] = std::move(result->sums);
    return {};
  };
  const auto settle = [&](const Status& own) -> Status {
    auto sums = gather_sums(*peers_, std::move(mine), own);
    if (!sums.ok()) {
      is_cut_short_ = sums.error().code == Code::kCancelled;
      return std::move(sums).error();
    }
    fold(*sums, scale, losses);
    return {};
  };
  return sum_->run(std::ssize(batch.micro_batches), recipe_.batch.groups, accumulate, settle);
}

// Micro-batches ascending, whichever process computed them.
void RunningTrainer::fold(const std::vector<MicroSums>& sums, const TrainableModel::StepScale& scale,
                          StepLosses* losses) {
  losses->predictions.assign(scale.prediction_divisors.size(), 0);
  for (const MicroSums& micro : sums) {
    losses->main += micro.loss;
    losses->balance += micro.balance;
    losses->policy.add(micro.policy);
    NARU_CHECK(micro.prediction_losses.size() == losses->predictions.size(), micro.prediction_losses.size());
    for (size_t depth = 0; depth < micro.prediction_losses.size(); ++depth) {
      losses->predictions[depth] += quotient(micro.prediction_losses[depth], scale.prediction_divisors[depth]);
    }
    loads_.resize(micro.loads.size());
    for (size_t layer = 0; layer < loads_.size(); ++layer) {
      loads_[layer].resize(micro.loads[layer].size());
      for (size_t e = 0; e < loads_[layer].size(); ++e) loads_[layer][e] += micro.loads[layer][e];
    }
  }
}

// bias = bias + rate * sign(mean load - load), for each layer with experts and a bias.
Status RunningTrainer::move_routing_bias() {
  if (recipe_.loss.bias_update == 0 || recipe_.lora.rank > 0) return {};
  NARU_TRY(chip_.wait());
  size_t layer = 0;
  for (size_t i = 0; i < files_.parameters.size(); ++i) {
    const models::Parameter& parameter = files_.parameters[i];
    if (parameter.use != models::ParameterUse::kRoutingBias) continue;
    NARU_CHECK(layer < loads_.size(), layer, loads_.size());
    const std::vector<int64_t>& load = loads_[layer++];
    const View view = model_->values().view(static_cast<int64_t>(i));
    std::vector<float> bias(load.size());
    NARU_TRY(chip_.copy_out(bias.data(), view.address, static_cast<int64_t>(bias.size()) * 4));
    int64_t total = 0;
    for (const int64_t n : load) total += n;
    const auto rate = static_cast<float>(recipe_.loss.bias_update);
    const auto n_experts = static_cast<int64_t>(load.size());
    for (size_t e = 0; e < load.size(); ++e) {
      const int64_t below_mean = total - load[e] * n_experts;  // its sign is that of mean - load
      if (below_mean != 0) bias[e] = contract::add(bias[e], below_mean > 0 ? rate : -rate);
    }
    NARU_TRY(chip_.copy_in(view.address, bias.data(), static_cast<int64_t>(bias.size()) * 4));
  }
  return {};
}

Result<bool> RunningTrainer::roll_back() {
  std::set<int64_t> left_out = state_.left_out;
  for (int64_t step = state_.step - 2; step <= state_.step; ++step) left_out.insert(step);
  const int64_t from = state_.step, n_roll_backs = state_.n_roll_backs + 1;
  std::string found;
  if (is_writer()) {
    NARU_ASSIGN(const auto checkpoint, store_->newest_good());
    if (checkpoint) {
      NARU_TRY(load(*checkpoint));
      found = "found";
    } else {
      NARU_TRY(check_nothing_lost());
    }
  }
  NARU_ASSIGN(found, say_to_all(*peers_, found));
  if (found.empty()) return false;
  NARU_TRY(share_state());
  state_.left_out = std::move(left_out);
  state_.n_roll_backs = n_roll_backs;
  kept_step_ = -1;
  // Where a run was stopped between the skipped steps, the newest checkpoint has counted some of them: a run that was
  // not stopped goes back further, and forgets them on its way.
  state_.guard.n_skipped_in_row = 0;
  note(fmt::format("step {}: three gradients in a row were far out; back to step {}, leaving their batches out", from,
                   state_.step));
  if (is_writer()) NARU_TRY(run_->rewind(state_.step));
  NARU_TRY(tell_history());
  return true;
}

Status RunningTrainer::report(const data::StepBatch& batch, const StepLosses& losses, double lr, double norm,
                              const StepSeconds& seconds) {
  const double tokens_per_s = static_cast<double>(batch.n_tokens) / std::max(seconds.all, 1e-9);
  const double loss = state_.loss;
  const bool is_counted = recipe_.guard.recheck_every > 0 && state_.step % recipe_.guard.recheck_every == 0;
  runs::Metrics metrics{.step = state_.step,
                        .values = {{is_grpo() ? "policy_loss" : "loss", loss},
                                   {"lr", lr},
                                   {"grad_norm", norm},
                                   {"tokens_per_s", tokens_per_s},
                                   {"tokens", static_cast<double>(state_.tokens)}}};
  if (!losses.predictions.empty()) {
    const double sum = std::accumulate(losses.predictions.begin(), losses.predictions.end(), 0.0);
    metrics.values.emplace_back("mtp_loss", sum / static_cast<double>(losses.predictions.size()));
  }
  if (const auto spread = spread_of(loads_)) {
    metrics.values.emplace_back("expert_load_max", spread->second);
    metrics.values.emplace_back("expert_load_min", spread->first);
  }
  if (is_grpo()) {
    auto values = policy_metrics(losses.policy, state_.tokens_compared, recipe_.grpo.kl_weight > 0);
    std::move(values.begin(), values.end(), std::back_inserter(metrics.values));
  }
  if (recipe_.kind == recipes::RunKind::kDistill) {
    auto values = distill_metrics(losses.policy, state_.tokens_compared);
    std::move(values.begin(), values.end(), std::back_inserter(metrics.values));
  }
  if (is_counted) metrics.values.emplace_back("recheck_differences", static_cast<double>(n_differences_of_step_));
  for (auto& value : batches_->metrics(state_.step - 1)) metrics.values.push_back(std::move(value));
  if (has_rollouts()) {
    const double update_tokens_per_s = static_cast<double>(batch.n_tokens) / std::max(seconds.update, 1e-9);
    metrics.values.emplace_back("update_seconds", seconds.update);
    metrics.values.emplace_back("update_tokens_per_s", update_tokens_per_s);
  }
  if (const auto reward = value_of(metrics, "reward")) state_.reward = reward;
  NARU_TRY(add(metrics));
  for (runs::ShownGroup& group : batches_->shown_groups(state_.step - 1)) {
    group.step = state_.step;
    if (is_writer()) NARU_TRY(run_->add(group));
  }
  if (!events_.step) return {};
  const double done = state_.seconds / static_cast<double>(std::max<int64_t>(1, state_.step));
  events_.step({.step = state_.step,
                .steps = plan_.steps,
                .loss = loss,
                .lr = lr,
                .grad_norm = norm,
                .tokens_per_s = tokens_per_s,
                .peak_share = peak_ > 0 ? plan_.operations_per_token * tokens_per_s / peak_ : 0,
                .seconds_left = done * static_cast<double>(plan_.steps - state_.step),
                .memory_bytes = resident_bytes(),
                .recheck_differences = state_.n_differences});
  return {};
}

// What a chip says of values that are not finite, with the step and what to do.
Error RunningTrainer::failed_step(Error error) const {
  if (is_cut_short_) return error;
  const bool is_not_finite = error.code == Code::kOutOfRange;
  error.message = fmt::format("training step {}: {}{}", state_.step, error.message,
                              is_not_finite ? std::string(kAfterOverflow) + chip_advice() : "");
  return error;
}

// A batch that is larger than all that were planned for.
Status RunningTrainer::make_room(const data::StepBatch& batch) {
  TrainingRoom wanted = room_;
  widen(wanted, batch);
  if (wanted.rows == room_.rows && wanted.pages == room_.pages && wanted.documents == room_.documents) return {};
  const double balance = files_.config.moe.experts > 0 ? recipe_.loss.balance : 0;
  NARU_ASSIGN(room_, measure_room(chip_, files_.config, model_options(), wanted.rows, wanted.documents, balance,
                                  parts_.objective));
  room_.pages = std::max(room_.pages, wanted.pages);
  NARU_TRY(model_->reserve(room_));
  if (!teachers_) return {};
  for (Teacher& teacher : *teachers_) NARU_TRY(teacher.reserve(room_.rows, room_.documents));
  return {};
}

// Of several processes all get it, or none does.
Result<data::StepBatch> RunningTrainer::ask_batch() {
  auto asked =
      batches_->step(state_.step, {.model = *model_,
                                   .rollout = [this] { return rollout(); },
                                   .keep_experts = [this](data::StepBatch& batch) { return keep_experts(batch); },
                                   .refer = [this](std::vector<data::StepBatch>& batches) { return refer(batches); },
                                   .should_stop = events_.should_stop,
                                   .peers = peers_,
                                   .run_folder = is_writer() ? run_->path() : std::filesystem::path(),
                                   .note = [this](const std::string& line) { note(line); }});
  const auto agreed = gather_sums(*peers_, {}, asked.ok() ? Status() : Status(asked.error()));
  is_cut_short_ = !agreed.ok() && agreed.error().code == Code::kCancelled;
  if (!agreed.ok()) return failed_step(agreed.error());
  return asked;
}

Result<StepGradients> RunningTrainer::compute(const data::StepBatch& batch) {
  return is_rechecked() ? agreed_gradients(batch) : step_gradients(batch, false);
}

Status RunningTrainer::update(const StepGradients& step, double lr, double scale) {
  NARU_TRY(is_rechecked() ? agreed_update(*step.sum, lr, scale) : update_once(*step.sum, lr, scale));
  ++state_.updates;
  return {};
}

Status RunningTrainer::train_step() {
  const auto begin = Clock::now();
  NARU_TRY(renew_reference());
  if (state_.left_out.contains(state_.step)) {
    ++state_.step;
    return {};
  }
  n_differences_of_step_ = 0;
  data::StepBatch batch;
  StepGradients computed;
  Clock::time_point asked_until;
  for (int64_t n_rollouts = 1;; ++n_rollouts) {
    NARU_ASSIGN(batch, ask_batch());
    asked_until = Clock::now();
    NARU_TRY(make_room(batch));
    auto found = compute(batch);
    if (!found.ok() && n_rollouts < kRolloutsMax && drops_rollout(found.error())) continue;
    if (!found.ok()) return failed_step(std::move(found).error());
    computed = *std::move(found);
    break;
  }
  const auto& [sum, losses, norm] = computed;
  const double loss = quotient(losses.main, batch.divisor);
  if (!std::isfinite(loss) || !std::isfinite(norm)) {
    return Error{Code::kOutOfRange,
                 fmt::format("training step {}: the loss is {} and the norm of the gradient {}, finite numbers were "
                             "wanted{}{}",
                             state_.step, loss, norm, kAfterOverflow, chip_advice())};
  }
  const double lr = recipe_.optimizer.lr * learning_rate_factor(recipe_.schedule, state_.step, plan_.steps);
  const GuardDecision decision = judge_norm(recipe_.guard, recipe_.optimizer.clip_norm, norm, state_.guard);
  if (decision.verdict == StepVerdict::kRollBack && state_.n_roll_backs < kRollBacksMax) {
    NARU_ASSIGN(const bool is_back, roll_back());
    if (is_back) return {};
  }
  // A run that went back often enough learns from such gradients too, clipped.
  if (decision.verdict == StepVerdict::kUpdate || state_.n_roll_backs >= kRollBacksMax) {
    const Status updated = update(computed, lr, decision.scale);
    if (!updated.ok()) return failed_step(updated.error());
  } else {
    note(fmt::format("step {}: skipped, the norm of its gradient is {:.3g}, {:.1f} deviations above the mean",
                     state_.step, norm, decision.z));
  }
  ++state_.step;
  state_.tokens += batch.n_tokens;
  state_.tokens_compared += losses.policy.n_compared;
  state_.loss = loss;
  const double seconds = seconds_since(begin);
  state_.seconds += seconds;
  return report(batch, losses, lr, norm, {.all = seconds, .update = seconds_since(asked_until)});
}

Result<RunResult> RunningTrainer::finish(bool is_done) {
  RunResult result;
  result.is_done = is_done;
  result.step = state_.step;
  if (state_.step > 0 && !is_grpo()) result.loss = state_.loss;
  result.reward = state_.reward;
  if (has_rollouts()) result.tokens_compared = state_.tokens_compared;
  result.validation_loss = state_.validation_loss;
  result.recheck_differences = state_.n_differences;
  if (is_writer()) {
    const nlohmann::json fault = run_->field("fault");
    if (fault.is_string()) result.fault = fault.get<std::string>();
  }
  if (is_writer()) NARU_TRY(is_finished_ ? confirm_result(result) : write_result(result));
  NARU_ASSIGN(result.weights_sha256, say_to_all(*peers_, result.weights_sha256));
  return result;
}

Status RunningTrainer::write_result(RunResult& result) {
  NARU_TRY(count_failures(result));
  // A checkpoint of the last step may know nothing of problems.
  if (result.is_done && !state_.accuracy && asked_step_ != state_.step) NARU_TRY(judge());
  const nlohmann::json peak = run_->field("peak_memory_bytes");
  const double peak_before = peak.is_number() ? peak.get<double>() : 0;
  std::vector<std::pair<std::string, double>> numbers = {{"step", static_cast<double>(state_.step)},
                                                         {"tokens", static_cast<double>(state_.tokens)},
                                                         {"seconds", state_.seconds}};
  if (result.loss) numbers.emplace_back("loss", *result.loss);
  if (result.reward) numbers.emplace_back("reward", *result.reward);
  if (judge_ && judge_->has_programs()) {
    numbers.emplace_back("reward_failures", static_cast<double>(result.reward_failures));
  }
  if (result.tokens_compared) numbers.emplace_back("tokens_compared", static_cast<double>(*result.tokens_compared));
  if (state_.validation_loss) numbers.emplace_back("validation_loss", *state_.validation_loss);
  if (state_.accuracy) numbers.emplace_back("accuracy", *state_.accuracy);
  result.accuracy = state_.accuracy;
  const nlohmann::json problems = run_->field("problems");
  if (problems.is_number_integer()) result.n_problems = problems.get<int64_t>();
  if (result.is_done) NARU_TRY(export_result(result));
  // Of all starts, that of the model's export too.
  numbers.emplace_back("peak_memory_bytes", std::max(peak_before, static_cast<double>(peak_resident_bytes())));
  std::vector<std::pair<std::string, std::string>> texts = {{"status", result.is_done ? "done" : "stopped"}};
  if (result.is_done) texts.emplace_back("weights_sha256", result.weights_sha256);
  NARU_TRY(run_->set(texts, numbers));
  return runs::write_report(run_->path());
}

// Its model is made again where it is gone. Its record and its report say what they said.
Status RunningTrainer::confirm_result(RunResult& result) {
  const nlohmann::json accuracy = run_->field("accuracy");
  if (accuracy.is_number()) result.accuracy = accuracy.get<double>();
  const nlohmann::json failures = run_->field("reward_failures");
  if (failures.is_number_integer()) result.reward_failures = failures.get<int64_t>();
  const nlohmann::json problems = run_->field("problems");
  if (problems.is_number_integer()) result.n_problems = problems.get<int64_t>();
  const nlohmann::json thrown_away = run_->field("recheck_differences");  // behind the last checkpoint too
  if (thrown_away.is_number_integer()) result.recheck_differences = thrown_away.get<int64_t>();
  NARU_TRY(export_result(result));
  return runs::write_report(run_->path());
}

// Drawn, and trained on plain text alone: the tokenizer's chat template means nothing to it.
bool RunningTrainer::is_base_model() const {
  return !files_.checkpoint && !files_.own_template && recipe_.kind == recipes::RunKind::kPretrain &&
         !batches_->has_conversations();
}

// The model, adapters merged; and these apart, where there are any.
Status RunningTrainer::export_result(RunResult& result) {
  exports::ModelToExport exported;
  exported.config = files_.config;
  exported.parameters = files_.parameters;
  exported.read = [this](int64_t index, float* out) { return exported_value(index, out); };
  exported.dtype = exports::ExportDType::kF32;
  exported.keeps_equal = true;
  exported.tokenizer_from = files_.tokenizer_path;
  exported.chat_template = files_.own_template;
  exported.is_base = is_base_model();
  if (files_.config.is_mla()) exported.form = files_.is_latent_form ? "latent" : "expanded";
  NARU_ASSIGN(result.weights_sha256, exports::export_hugging_face(exported, run_->model()));
  if (recipe_.lora.rank == 0) return {};
  const auto n_own = static_cast<int64_t>(files_.parameters.size());
  exports::AdapterToExport adapter{.config = adapter_config(recipe_.lora, files_.parameters),
                                   .base = recipe_.model.path,
                                   .parameters = {},
                                   .read = {}};
  adapter.read = [this, n_own](int64_t index, float* out) { return model_->merged_value(n_own + index, out); };
  if (files_.config.moe.experts > 0) adapter.config.targets.clear();  // last parts would choose experts too
  for (size_t i = files_.parameters.size(); i < model_->parameters().size(); ++i) {
    models::Parameter parameter = model_->parameters()[i];
    if (files_.config.moe.experts > 0 && (i - files_.parameters.size()) % 2 == 0) {
      adapter.config.targets.push_back(adapted_module(parameter.name));
    }
    parameter.name.insert(0, models::kPeftPrefix);
    adapter.parameters.push_back(std::move(parameter));
  }
  return exports::export_adapter(adapter, run_->adapter());
}

Status RunningTrainer::run_steps() {
  NARU_TRY(tell_history());
  // A checkpoint of step 0 was written after its validation and its samples.
  if (state_.step == 0 && !is_resumed_) {
    Status status = validate(true);
    if (status.ok() && has_rollouts()) status = judge();
    if (status.ok() && !is_cut_short_) status = sample(true);
    if (is_cut_short_) return {};  // without a checkpoint: the next start does it again
    NARU_TRY(status);
  }
  NARU_TRY(ask_what_is_left());
  while (state_.step < plan_.steps) {
    NARU_ASSIGN(const bool stops, agree_to_stop(*peers_, should_stop()));
    if (stops) break;
    const Status status = train_step();
    if (is_cut_short_) break;
    if (!status.ok()) return status.error();
    const bool is_last = state_.step == plan_.steps;
    const auto is_due = [&](int64_t every) { return every > 0 && state_.step % every == 0; };
    // At the validations behind which another tenth of the run is done: answers take longer than losses.
    const auto tenths = [&](int64_t step) { return std::max<int64_t>(0, step) * kWatchedTimes / plan_.steps; };
    const auto is_watched = [&](int64_t every) {
      return is_due(every) && (has_rollouts() || tenths(state_.step) > tenths(state_.step - every));
    };
    if (is_last || is_due(recipe_.validate.every)) NARU_TRY(validate());
    // Answers change no bit of the run, and may end it: the checkpoint goes first, and says what is not asked yet.
    state_.is_unjudged = held_out_ && (is_last || is_watched(recipe_.validate.every));
    state_.is_unsampled = !recipe_.sample.prompts.empty() && (is_last || is_due(recipe_.sample.every));
    if (is_last || is_due(recipe_.checkpoint.every)) NARU_TRY(save());
    NARU_TRY(ask(state_.is_unjudged, state_.is_unsampled));
  }
  return saved_step_ == state_.step ? Status() : save();
}

Result<RunResult> RunningTrainer::run() {
  const Status status = run_steps();
  if (status.ok() && state_.step < plan_.steps) {
    note(saved_step_ < 0 ? std::string("stopped as asked, before the first step; the same command begins again")
                         : fmt::format("stopped as asked: the checkpoint of step {} is written, and the same command "
                                       "goes on from it",
                                       state_.step));
  }
  Result<RunResult> result = status.ok() ? finish(state_.step == plan_.steps) : Result<RunResult>(status.error());
  if (!result.ok() && is_writer() && !is_finished_) {
    (void)run_
        ->set({{"status", "failed"}, {"reason", result.error().message}}, {{"step", static_cast<double>(state_.step)}})
        .ok();
    (void)runs::write_report(run_->path()).ok();
  }
  return result;
}

}  // namespace naru::train
