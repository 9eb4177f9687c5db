// What a run asks its model between steps: validation texts, held-out problems, and the prompts of its recipe.
#include <fmt/format.h>

#include "train/micro_sums.h"
#include "train/trainer_state.h"

namespace naru::train {

Status RunningTrainer::add(const runs::Metrics& metrics) {
  if (!is_writer()) return {};
  NARU_TRY(run_->add(metrics));
  if (events_.metrics) events_.metrics(metrics);
  const std::vector<runs::Alarm> raised = alarms_.add(metrics);
  for (const runs::Alarm& alarm : raised) note("alarm: " + runs::alarm_line(alarm));
  return raised.empty() ? Status() : run_->set_alarms(alarms_.all());
}

// What the run wrote down in earlier starts, or before the step that it went back to.
Status RunningTrainer::tell_history() {
  if (!is_writer()) return {};
  alarms_ = runs::AlarmWatch(recipe_);
  NARU_TRY(runs::for_each_metrics(run_->path(), [this](const runs::Metrics& line) {
    if (events_.metrics) events_.metrics(line);
    alarms_.add(line);
  }));
  return is_finished_ ? Status() : run_->set_alarms(alarms_.all());
}

Result<MicroSums> RunningTrainer::losses_of(const data::MicroBatch& batch) {
  const int64_t every = recipe_.guard.recheck_every;
  if (every > 0 && state_.step % every == 0) return agreed_losses(batch);
  NARU_ASSIGN(TrainableModel::MicroResult result, model_->run(batch, {}, nullptr));
  return std::move(result.sums);
}

Result<std::vector<MicroSums>> RunningTrainer::validation_sums(const data::StepBatch& batch, bool may_stop) {
  std::vector<std::optional<MicroSums>> mine(batch.micro_batches.size());
  Status own;
  for (int64_t i = peers_->rank(); own.ok() && i < std::ssize(mine); i += peers_->count()) {
    if (may_stop && is_given_up()) {
      own = Error{Code::kCancelled, "stopped before the first step"};
      break;
    }
    auto sums = losses_of(batch.micro_batches[static_cast<size_t>(i)]);
    own = sums.ok() ? Status() : Status(sums.error());
    if (sums.ok()) mine[static_cast<size_t>(i)] = *std::move(sums);
  }
  auto gathered = gather_sums(*peers_, std::move(mine), own);
  is_cut_short_ = !gathered.ok() && gathered.error().code == Code::kCancelled;
  return gathered;
}

Status RunningTrainer::validate(bool may_stop) {
  if (!validation_) return {};
  NARU_ASSIGN(const data::StepBatch batch, validation_->all_rows(recipe_.validate.rows));
  NARU_ASSIGN(const std::vector<MicroSums> all, validation_sums(batch, may_stop));
  double sum = 0;
  for (const MicroSums& micro : all) sum += micro.loss;
  const double loss = quotient(sum, batch.divisor);
  state_.validation_loss = loss;
  if (state_.best_step < 0 || loss < state_.best_loss) {
    state_.best_step = state_.step;
    state_.best_loss = loss;
  }
  note(fmt::format("step {}: validation loss {:.4f}", state_.step, loss));
  return add({.step = state_.step, .values = {{"validation_loss", loss}}});
}

Error RunningTrainer::failed_after_step(std::string_view doing, Error error) const {
  if (error.code == Code::kCancelled) return error;
  error.message = fmt::format("{} after step {}: {}; the same command goes on from the last checkpoint", doing,
                              state_.step, error.message);
  return error;
}

Status RunningTrainer::judge() {
  if (!is_writer()) return {};
  if (!held_out_) return {};
  NARU_TRY(run_->set({}, {{"problems", static_cast<double>(held_out_->n_problems())}}));
  NARU_ASSIGN(Rollout* const answering, rollout());
  // What is known at the end belongs to a run that is done: only a second Ctrl-C ends it. Of several processes this one
  // alone answers: it cannot stop without the others.
  const bool may_stop = state_.step < plan_.steps && peers_->count() == 1;
  rewards::JudgeCall call{.note = [this](const std::string& line) { note(line); }};
  if (may_stop) call.should_stop = events_.should_stop;
  const auto asked = held_out_->ask(*answering, call);
  state_.is_unjudged = !asked.ok() && asked.error().code == Code::kCancelled;
  is_cut_short_ = state_.is_unjudged && state_.step == 0;
  if (state_.is_unjudged) return {};
  if (!asked.ok()) return failed_after_step("answering held-out problems", asked.error());
  state_.accuracy = asked->accuracy;
  note(fmt::format("step {}: {:.1f} % of {} held-out problems right", state_.step, 100 * asked->accuracy,
                   held_out_->n_problems()));
  NARU_TRY(add({.step = state_.step, .values = asked->metrics}));
  const bool is_end = state_.step == 0 || state_.step == plan_.steps;
  if (!is_end && !runs::is_kept_time(state_.step, recipe_.validate.every, plan_.steps)) return {};
  for (runs::ProblemAnswer answer : asked->kept) {
    answer.step = state_.step;
    NARU_TRY(run_->add(answer));
  }
  return {};
}

Status RunningTrainer::sample(bool may_stop) {
  if (!is_writer() || recipe_.sample.prompts.empty()) return {};
  NARU_ASSIGN(Rollout* const answering, rollout());
  Rollout::Options options{.max_tokens = recipe_.sample.max_tokens,
                           .temperature = recipe_.sample.temperature,
                           .is_chat = is_asked_as_chat(recipe_, files_)};
  // Of several processes this one alone answers: it cannot stop without the others.
  if (may_stop && peers_->count() == 1) options.should_stop = events_.should_give_up;
  auto given = answering->answer(recipe_.sample.prompts, options);
  is_cut_short_ = !given.ok() && given.error().code == Code::kCancelled;
  if (!given.ok()) return failed_after_step("answering the samples' prompts", std::move(given).error());
  const std::vector<std::string>& answers = *given;
  for (size_t i = 0; i < answers.size(); ++i) {
    NARU_TRY(run_->add(runs::Sample{.step = state_.step, .prompt = recipe_.sample.prompts[i], .answer = answers[i]}));
  }
  return {};
}

}  // namespace naru::train
