// What a run asks its model between steps: held-out problems, and the prompts of its recipe.
#include <fmt/format.h>

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

Status RunningTrainer::judge() {
  if (!is_writer()) return {};
  if (!held_out_) {
    NARU_ASSIGN(held_out_, HeldOut::open(recipe_, files_, recipe_folder_));
    if (held_out_) NARU_TRY(run_->set({}, {{"problems", static_cast<double>(held_out_->n_problems())}}));
  }
  if (!held_out_) return {};
  NARU_ASSIGN(Rollout* const answering, rollout());
  // What is known at the end belongs to a run that is done: only a second Ctrl-C ends it. Of several processes this one
  // alone answers: it cannot stop without the others.
  const bool may_stop = state_.step < plan_.steps && peers_->count() == 1;
  const auto asked = held_out_->ask(*answering, may_stop ? events_.should_stop : std::function<bool()>());
  state_.is_unjudged = !asked.ok() && asked.error().code == Code::kCancelled;
  is_cut_short_ = state_.is_unjudged && state_.step == 0;
  if (state_.is_unjudged) return {};
  if (!asked.ok()) return asked.error();
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

Result<Rollout*> RunningTrainer::rollout() {
  if (rollout_) {
    rollout_->weights_changed();
  } else {
    NARU_ASSIGN(rollout_, Rollout::open(*model_, files_, recipe_));
  }
  return &*rollout_;
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
  NARU_ASSIGN(const std::vector<std::string> answers, std::move(given));
  for (size_t i = 0; i < answers.size(); ++i) {
    NARU_TRY(run_->add(runs::Sample{.step = state_.step, .prompt = recipe_.sample.prompts[i], .answer = answers[i]}));
  }
  return {};
}

}  // namespace naru::train
