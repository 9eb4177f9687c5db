// HeldOut: problems that training never asks, put to the model as it is by then. How many, and how often, the recipe
// says ([validate]); they are the same ones each time, so that what is measured stands in one curve.
#pragma once

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "rewards/judge.h"
#include "runs/run_answers.h"
#include "train/answer_group.h"
#include "train/rollout.h"

namespace naru::train {

// The chance that one of k answers is right, of n answers of which n_right are: the unbiased estimator
// 1 - C(n - n_right, k) / C(n, k) (Codex, arXiv 2107.03374, equation 1). 1 <= k <= n, 0 <= n_right <= n.
double pass_at(int64_t k, int64_t n_right, int64_t n);

struct HeldOutResult {
  double accuracy = 0;  // the share that is answered rightly, greedily
  // Names and values for metrics.jsonl: accuracy; where answers are drawn, pass_1 and pass_K of K answers each.
  std::vector<std::pair<std::string, double>> metrics;
  std::vector<runs::ProblemAnswer> kept;  // of the first problems, without a step
};

// What the model answered to them.
struct HeldOutAnswers {
  struct One {
    std::vector<int32_t> ids;
    std::string text;
  };
  std::vector<One> likeliest;  // by problem
  std::vector<One> drawn;      // of each problem in turn validate.samples; none where the recipe draws none

  std::string ids_text() const;  // the same of two that are alike
};

class HeldOut {
 public:
  // Recipe and files outlive it.
  static HeldOut create(const recipes::Recipe& recipe, const TrainingModelFiles& files, data::ProblemMix source,
                        std::shared_ptr<rewards::Judge> judge);

  // That every prompt leaves room for an answer; before the first ask().
  Status check_room() const;

  const data::ProblemMix& source() const { return source_; }
  int64_t n_problems() const { return std::min(recipe_->validate.problems, source_.size()); }
  // After check_room(); the chip's part. kCancelled where should_stop says so.
  Result<HeldOutAnswers> answer(Rollout& rollout, const std::function<bool()>& should_stop) const;
  // kCancelled where the call's should_stop says so.
  Result<HeldOutResult> judge(const HeldOutAnswers& answers, const rewards::JudgeCall& call) const;

 private:
  // A problem as the model is given it.
  struct Asked {
    data::Problem problem;
    text::ChatPrompt prompt;
  };
  HeldOut(const recipes::Recipe& recipe, const TrainingModelFiles& files, data::ProblemMix source,
          std::shared_ptr<rewards::Judge> judge)
      : recipe_(&recipe), files_(&files), source_(std::move(source)), judge_(std::move(judge)) {}
  Result<std::vector<Asked>> problems() const;
  Status judge_likeliest(const std::vector<Asked>& asked, const HeldOutAnswers& answers, const rewards::JudgeCall& call,
                         HeldOutResult* result) const;
  Status judge_drawn(const std::vector<Asked>& asked, const HeldOutAnswers& answers, const rewards::JudgeCall& call,
                     HeldOutResult* result) const;

  const recipes::Recipe* recipe_;
  const TrainingModelFiles* files_;
  data::ProblemMix source_;
  std::shared_ptr<rewards::Judge> judge_;
};

}  // namespace naru::train
