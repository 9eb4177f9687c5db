// What naru eval says of a model's answers, as a table and as JSON.
#pragma once

#include <string>
#include <vector>

#include "cli/eval.h"
#include "eval/scores.h"

namespace naru::cli {

struct AnswersOutcome {
  const EvalOptions* options = nullptr;
  const EvalModel* model = nullptr;
  bool is_chat = false;  // asked by the chat template
  bool is_file = false;  // problems of a file
  std::string name;      // of the generator or the file
  std::string numerics_id;
  std::vector<eval::ProblemScore> scores;  // of the problems whose answers are whole, in their order
  int64_t n_different = 0;                 // problems asked, equal ones once
  int64_t n_unasked = 0;                   // problems whose prompt is longer than the context
  int64_t context_tokens = 0;
  int64_t n_answers = 0, n_cut = 0, n_tokens = 0;
  std::string problems_sha256, answers_sha256;
  double seconds = 0;
};

std::string answers_table(const AnswersOutcome& outcome);
Json answers_json(const AnswersOutcome& outcome);
// Of an evaluation that was stopped: "greedy pass@1 so far 31.5 % strictly, 40.0 % leniently".
std::string answers_so_far(const std::vector<eval::ProblemScore>& scores);

}  // namespace naru::cli
