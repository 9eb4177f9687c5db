// Problems of a run: the held-out ones that are asked on the way, who judges answers, and what is told of both.
#include <fmt/format.h>

#include <algorithm>

#include "runs/run_files.h"
#include "train/trainer_state.h"

namespace naru::train {

// Problems that are asked on the way, and who judges answers.
Status RunningTrainer::open_problems() {
  const auto source = std::ranges::find_if(
      recipe_.validation, [this](const recipes::SourceRecipe& s) { return is_grpo() || !s.generator.empty(); });
  if (source == recipe_.validation.end() && !is_grpo()) return {};
  NARU_ASSIGN(rewards::Judge judge,
              rewards::Judge::open(rewards::judge_options(recipe_, recipe_folder_), events_.should_give_up));
  judge_ = std::make_shared<rewards::Judge>(std::move(judge));
  if (source == recipe_.validation.end()) return {};
  NARU_ASSIGN(held_out_, data::ProblemSource::open(*source, recipe_.seed, data::Split::kValidation, recipe_folder_,
                                                   rewards::needs_answers(recipe_.reward)));
  return {};
}

Status RunningTrainer::judge(int64_t n_problems) {
  if (!is_writer()) return {};
  if (!held_out_) return {};
  n_problems = std::min(n_problems, held_out_->size());
  NARU_ASSIGN(Rollout* const answering, rollout());
  // What is known at the end belongs to a run that is done: only a second Ctrl-C ends it. Of several processes this one
  // alone answers: it cannot stop without the others.
  const bool may_stop = state_.step < plan_.steps && peers_->count() == 1;
  rewards::JudgeCall call{.note = [this](const std::string& line) { note(line); }};
  if (may_stop) call.should_stop = events_.should_stop;
  const auto accuracy = answering->accuracy(*held_out_, n_problems, *judge_, call);
  state_.is_unjudged = !accuracy.ok() && accuracy.error().code == Code::kCancelled;
  is_cut_short_ = state_.is_unjudged && state_.step == 0;
  if (state_.is_unjudged) return {};
  if (!accuracy.ok()) return accuracy.error();
  state_.accuracy = *accuracy;
  note(fmt::format("step {}: {:.1f} % of {} held-out problems right", state_.step, 100 * *accuracy, n_problems));
  return run_->add(runs::Metrics{.step = state_.step, .values = {{"accuracy", *accuracy}}});
}

Status RunningTrainer::count_failures(RunResult& result) {
  if (!judge_ || !judge_->has_programs()) return {};
  NARU_ASSIGN(result.reward_failures, judge_->stored_failures(run_->path() / runs::kRewardsFile));
  return {};
}

}  // namespace naru::train
