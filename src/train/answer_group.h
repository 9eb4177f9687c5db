// AnswerGroup: a problem, the answers that the policy gave to it, and what they are worth: what a rollout is made of.
#pragma once

#include "data/problems.h"
#include "rewards/judge.h"
#include "runs/run_answers.h"
#include "train/answer_batch.h"

namespace naru::train {

struct AnswerGroup {
  int64_t number = 0;  // of the problem in its source
  data::Problem problem;
  std::vector<SampledAnswer> answers;
  // As long as answers.
  std::vector<std::string> texts;
  std::vector<rewards::Judgement> judgements;
  std::vector<double> advantages;

  bool is_flat() const;  // all answers are worth the same: it teaches nothing
};

// What a rollout was like, for metrics.jsonl: names and values, means over its answers; of their lengths the tenth, the
// fiftieth and the ninetieth of a hundred and the longest too.
std::vector<std::pair<std::string, double>> rollout_metrics(const std::vector<AnswerGroup>& groups,
                                                            const std::vector<std::string>& part_names);

// Groups to be looked at, without a step: the first that teaches something, and the first that does not.
std::vector<runs::ShownGroup> shown_groups(const std::vector<AnswerGroup>& groups,
                                           const std::vector<std::string>& part_names, bool is_chat);

}  // namespace naru::train
