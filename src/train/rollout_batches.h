// RolloutBatches: the batches of runs that learn from answers of the model's own. Each rollout asks the model's
// present weights for `answers` answers to each of `prompts` problems, has them verified, and cuts the groups into
// `updates` batches, a step each. Of reinforcement learning (kind = "grpo") the rewards of a group become advantages;
// of distillation they are only told.
//
// With `rounds` of grpo above 1 problems whose answers are all worth the same make room for others (DAPO's dynamic
// sampling, arXiv 2503.14476): in each round as many are asked as have no signal yet. Rollout r owns the numbers from
// r * prompts * rounds on, so that it stays a function of its own number; those that it does not come to are passed
// over.
//
// A rollout is a function of (weights, seed, number of the rollout): a run that is killed in the middle of one makes it
// again. Where steps on it are left, it is kept in the checkpoints, as its weights are gone.
#pragma once

#include "train/answer_group.h"
#include "train/batch_source.h"
#include "train/rollout.h"

namespace naru::train {

class RolloutBatches final : public BatchSource {
 public:
  // Recipe and files outlive it. The judge is the recipe's. `more_files` decide the bits of the run beside the problems
  // (data::add_files).
  static Result<std::unique_ptr<RolloutBatches>> open(const recipes::Recipe& recipe, const TrainingModelFiles& files,
                                                      const std::filesystem::path& recipe_folder,
                                                      std::shared_ptr<rewards::Judge> judge,
                                                      std::vector<data::DataFile> more_files = {});

  data::StreamRecord record() const override;
  int64_t steps_per_epoch() const override;
  bool has_conversations() const override;
  Result<TrainingRoom> largest(int64_t n_steps, const std::function<bool()>& should_stop) override;
  int64_t held_bytes() const override;
  Result<data::StepBatch> step(int64_t step, const ModelNow& now) override;
  std::vector<std::pair<std::string, double>> metrics(int64_t step) const override;
  std::vector<runs::ShownGroup> shown_groups(int64_t step) const override;
  std::string kept(int64_t next_step) const override;
  Status restore(int64_t step, std::string_view kept) override;

 private:
  RolloutBatches(const recipes::Recipe& recipe, const TrainingModelFiles& files, data::ProblemMix problems,
                 std::shared_ptr<rewards::Judge> judge, std::vector<data::DataFile> more_files)
      : recipe_(&recipe),
        rollout_(&recipes::rollout_of(recipe)),
        n_rounds_(recipes::rollout_rounds(recipe)),
        files_(&files),
        problems_(std::move(problems)),
        judge_(std::move(judge)),
        more_files_(std::move(more_files)) {}
  Status check_room(std::span<const int32_t> prompt, std::string_view of) const;
  bool is_first_update(int64_t step) const;  // on the rollout held
  bool is_shown(int64_t index) const;        // of the rollout's groups some are kept to be looked at
  Status roll(int64_t index, const ModelNow& now);
  BatchForm form() const;
  int64_t set_words() const;
  Status check_sets() const;
  Result<std::vector<AnswerGroup>> ask_rounds(int64_t index, const ModelNow& now) const;
  // Of several processes all have what was asked, or none has.
  Result<std::vector<AnswerGroup>> ask(int64_t first, int64_t n, const ModelNow& now) const;
  Result<std::vector<AnswerGroup>> ask_alone(int64_t first, int64_t n, const ModelNow& now) const;
  Status judge(std::vector<AnswerGroup>& groups, const ModelNow& now) const;

  const recipes::Recipe* recipe_;
  const recipes::RolloutRecipe* rollout_;  // of the recipe
  int64_t n_rounds_;
  const TrainingModelFiles* files_;
  data::ProblemMix problems_;
  std::shared_ptr<rewards::Judge> judge_;
  std::vector<data::DataFile> more_files_;
  int64_t n_rollouts_ = 1;                // of the run, as largest() was told
  int64_t index_ = -1;                    // of the rollout held; -1: none
  int64_t first_step_ = -1;               // that the rollout held was made for; -1: it is a checkpoint's
  std::vector<data::StepBatch> batches_;  // by update
  std::vector<std::pair<std::string, double>> metrics_;
  std::vector<runs::ShownGroup> shown_;
};

// What judging a rollout takes of the run.
rewards::JudgeCall judge_call(const ModelNow& now);

// The objective that recipe.grpo asks for.
PolicyOptions policy_options(const recipes::Recipe& recipe);

}  // namespace naru::train
