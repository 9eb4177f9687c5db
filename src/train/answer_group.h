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
  bool begins_in_reasoning = false;  // the prompt ended with the tag that opens it
  std::vector<SampledAnswer> answers;
  // As long as answers.
  std::vector<std::string> texts;
  std::vector<rewards::Judgement> judgements;
  std::vector<double> advantages;
  double seconds = 0;  // that its answers took, an equal share of what was asked together

  bool is_flat() const;  // all answers are worth the same: it teaches nothing
};

// Leaves n of at least as many groups, in their order: all with a signal, of which there are at most n, and the first
// of the others.
void keep_with_signal(std::vector<AnswerGroup>& groups, int64_t n);

// What a rollout was like, for metrics.jsonl: names and values, means over its answers; of their lengths the tenth, the
// fiftieth and the ninetieth of a hundred and the longest too; "reward_failures" is a number of answers, and is there
// where a program failed any.
std::vector<std::pair<std::string, double>> rollout_metrics(const std::vector<AnswerGroup>& groups,
                                                            const std::vector<std::string>& part_names);

// A right answer to the problem, as people read it; "" where none is known.
std::string wanted_answer(const data::Problem& problem);

// Groups to be looked at, without a step: the first that teaches something, and the first that does not.
std::vector<runs::ShownGroup> shown_groups(const std::vector<AnswerGroup>& groups,
                                           const std::vector<std::string>& part_names, bool is_chat);

}  // namespace naru::train
