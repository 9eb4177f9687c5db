// HeldOut: problems that training never asks, put to the model as it is by then. How many, and how often, the recipe
// says ([validate]); they are the same ones each time, so that what is measured stands in one curve.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "rewards/judge.h"
#include "runs/run_answers.h"
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

class HeldOut {
 public:
  // The problems of the first validation source that has any; nothing where none has. Recipe and files outlive it.
  static Result<std::optional<HeldOut>> open(const recipes::Recipe& recipe, const TrainingModelFiles& files,
                                             const std::filesystem::path& recipe_folder);

  int64_t n_problems() const { return std::ssize(problems_); }
  // kCancelled where should_stop says so.
  Result<HeldOutResult> ask(Rollout& rollout, const std::function<bool()>& should_stop) const;

 private:
  HeldOut(const recipes::Recipe& recipe, const TrainingModelFiles& files, rewards::Judge judge)
      : recipe_(&recipe), files_(&files), judge_(std::move(judge)) {}
  // How many of the texts are right, by problem; of each problem in turn as many.
  Result<std::vector<int64_t>> n_right(const std::vector<rewards::JudgedText>& texts,
                                       const std::function<bool()>& should_stop) const;
  Status ask_greedily(Rollout& rollout, const std::function<bool()>& should_stop, HeldOutResult* result) const;
  Status draw(Rollout& rollout, const std::function<bool()>& should_stop, HeldOutResult* result) const;

  const recipes::Recipe* recipe_;
  const TrainingModelFiles* files_;
  rewards::Judge judge_;
  std::vector<data::Problem> problems_;
};

}  // namespace naru::train
