// Problems of a run: the held-out ones that are asked on the way, and who judges answers.
#include <algorithm>

#include "runs/run_files.h"
#include "train/trainer_state.h"

namespace naru::train {

// Problems that are asked on the way, and who judges answers.
Status RunningTrainer::open_problems() {
  std::vector<recipes::SourceRecipe> sources = recipe_.validation;
  if (!has_rollouts()) {
    // Only generators have problems; of those the first is asked.
    std::erase_if(sources, [](const recipes::SourceRecipe& s) { return s.generator.empty(); });
    sources.resize(std::min<size_t>(1, sources.size()));
  }
  if (sources.empty() && !has_rollouts()) return {};
  NARU_ASSIGN(rewards::Judge judge,
              rewards::Judge::open(rewards::judge_options(recipe_, recipe_folder_), events_.should_give_up));
  judge_ = std::make_shared<rewards::Judge>(std::move(judge));
  if (sources.empty()) return {};
  NARU_ASSIGN(data::ProblemMix problems,
              data::ProblemMix::open(sources, recipe_.seed, data::Split::kValidation, recipe_folder_,
                                     rewards::needs_answers(recipe_.reward)));
  held_out_ = HeldOut::create(recipe_, files_, std::move(problems), judge_);
  return held_out_->check_room();
}

Status RunningTrainer::count_failures(RunResult& result) {
  if (!judge_ || !judge_->has_programs()) return {};
  NARU_ASSIGN(result.reward_failures, judge_->stored_failures(run_->path() / runs::kRewardsFile));
  return {};
}

}  // namespace naru::train
