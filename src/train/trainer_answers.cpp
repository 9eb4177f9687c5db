// What a run asks its model between steps: validation texts, held-out problems, and the prompts of its recipe.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "runs/json_lines.h"
#include "runs/run_files.h"
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

// What is known at the end belongs to a run that is done: only a second Ctrl-C ends it. Of several processes this one
// alone answers: it cannot stop without the others.
Status RunningTrainer::judge() {
  state_.is_unjudged = false;
  if (!is_writer() || !held_out_ || held_out_->n_problems() == 0) return {};
  const int64_t n = held_out_->n_problems();
  NARU_TRY(run_->set({}, {{"problems", static_cast<double>(n)}}));
  rewards::JudgeCall call{.note = [this](const std::string& line) { note(line); }};
  if (state_.step < plan_.steps && peers_->count() == 1) call.should_stop = events_.should_stop;
  HeldOutAnswers answers;
  const auto given =
      try_to_answer(fmt::format("the held-out problems after step {}", state_.step), [&]() -> Result<std::string> {
        NARU_ASSIGN(Rollout* const answering, rollout());
        NARU_ASSIGN(answers, held_out_->answer(*answering, call.should_stop));
        return answers.ids_text();
      });
  if (given.ok() && !*given) {
    asked_step_ = state_.step;
    return add({.step = state_.step, .values = {{"problems_skipped", static_cast<double>(n)}}});
  }
  const auto judged = given.ok() ? held_out_->judge(answers, call) : Result<HeldOutResult>(given.error());
  state_.is_unjudged = !judged.ok() && judged.error().code == Code::kCancelled;
  is_cut_short_ = state_.is_unjudged && state_.step == 0;
  if (state_.is_unjudged) return {};
  if (!judged.ok()) return judged.error();
  asked_step_ = state_.step;
  return keep_judged(*judged);
}

Status RunningTrainer::keep_judged(const HeldOutResult& result) {
  state_.accuracy = result.accuracy;
  note(fmt::format("step {}: {:.1f} % of {} held-out problems right", state_.step, 100 * result.accuracy,
                   held_out_->n_problems()));
  NARU_TRY(add({.step = state_.step, .values = result.metrics}));
  const bool is_end = state_.step == 0 || state_.step == plan_.steps;
  if (!is_end && !runs::is_kept_time(state_.step, recipe_.validate.every, plan_.steps)) return {};
  for (runs::ProblemAnswer answer : result.kept) {
    answer.step = state_.step;
    NARU_TRY(run_->add(answer));
  }
  return {};
}

Status RunningTrainer::sample(bool may_stop) {
  state_.is_unsampled = false;
  if (!is_writer() || recipe_.sample.prompts.empty()) return {};
  Rollout::Options options{.max_tokens = recipe_.sample.max_tokens,
                           .temperature = recipe_.sample.temperature,
                           .is_chat = is_asked_as_chat(recipe_, files_)};
  // Of several processes this one alone answers: it cannot stop without the others.
  if (may_stop && peers_->count() == 1) options.should_stop = events_.should_give_up;
  std::vector<std::string> answers;
  const auto given = try_to_answer(fmt::format("the samples after step {}", state_.step), [&]() -> Result<std::string> {
    NARU_ASSIGN(Rollout* const answering, rollout());
    NARU_ASSIGN(answers, answering->answer(recipe_.sample.prompts, options));
    std::string text;
    for (const std::string& answer : answers) text += fmt::format("{} {}\n", answer.size(), answer);
    return text;
  });
  is_cut_short_ = !given.ok() && given.error().code == Code::kCancelled;
  if (!given.ok()) return given.error();
  if (!*given) {
    const auto n = static_cast<double>(recipe_.sample.prompts.size());
    return add({.step = state_.step, .values = {{"samples_skipped", n}}});
  }
  for (size_t i = 0; i < answers.size(); ++i) {
    NARU_TRY(run_->add(runs::Sample{.step = state_.step, .prompt = recipe_.sample.prompts[i], .answer = answers[i]}));
  }
  return {};
}

// A chip that fails in answers has its checkpoint, due or not: the next start goes on from here.
Status RunningTrainer::ask(bool is_judged, bool is_sampled) {
  Status asked = is_judged ? judge() : Status();
  if (asked.ok() && is_sampled) asked = sample();
  if (asked.ok() || saved_step_ == state_.step) return asked;
  state_.is_unjudged = is_judged;
  state_.is_unsampled = is_sampled;
  if (const Status saved = save(); !saved.ok()) note("the checkpoint could not be written: " + saved.error().message);
  return asked;
}

// The record says what the start before had asked by its end.
Status RunningTrainer::ask_what_is_left() {
  if (!state_.is_unjudged && !state_.is_unsampled) return {};
  const auto is_of_step = [this](const runs::Metrics& line) { return line.step == state_.step; };
  bool is_judged = is_finished_ || !is_writer(), is_sampled = is_judged;
  if (!is_judged) {
    NARU_TRY(runs::for_each_metrics(run_->path(), [&](const runs::Metrics& line) {
      for (const auto& [name, value] : line.values) {
        if (!is_of_step(line)) continue;
        if (name == "accuracy") state_.accuracy = value;
        is_judged = is_judged || name == "accuracy" || name == "problems_skipped";
        is_sampled = is_sampled || name == "samples_skipped";
      }
    }));
    NARU_TRY(
        runs::for_each_json_line(run_->path() / runs::kSamplesFile, [&](const nlohmann::json& line, std::string_view) {
          is_sampled = is_sampled || runs::json_whole(line, "step") == state_.step;
        }));
  }
  const bool judges = state_.is_unjudged && !is_judged, samples = state_.is_unsampled && !is_sampled;
  state_.is_unjudged = state_.is_unsampled = false;
  return ask(judges, samples);
}

}  // namespace naru::train
