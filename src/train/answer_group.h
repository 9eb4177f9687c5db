// AnswerGroup: a problem, the answers that the policy gave to it, and what they are worth: what a rollout is made of.
#pragma once

#include "data/problems.h"
#include "rewards/judge.h"
#include "train/answer_batch.h"

namespace naru::train {

struct AnswerGroup {
  int64_t number = 0;  // of the problem in its source
  data::Problem problem;
  bool begins_in_reasoning = false;  // the prompt ended with the tag that opens it
  std::vector<SampledAnswer> answers;
  // As long as answers.
  std::vector<std::string> texts;
  std::vector<rewards::Judgement> judgements;
  std::vector<double> advantages;

  bool is_flat() const;  // all answers are worth the same: it teaches nothing
};

// What a rollout was like, for metrics.jsonl: names and values, means over its answers; "reward_failures" is
// a number of answers, and is there where a program failed any.
std::vector<std::pair<std::string, double>> rollout_metrics(const std::vector<AnswerGroup>& groups,
                                                            const std::vector<std::string>& part_names);

}  // namespace naru::train
