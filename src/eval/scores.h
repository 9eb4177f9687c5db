// Scores: what the grades of a model's answers say together, of all problems and of those in each language.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "eval/grading.h"
#include "eval/statistics.h"

namespace naru::eval {

// Of one problem.
struct ProblemScore {
  std::string language;  // "en", "ko", "zh", or "other"
  Grade greedy = {};
  int64_t n_drawn = 0;                  // answers
  int64_t n_strict = 0, n_lenient = 0;  // of the drawn ones, right
  // Of all answers that were asked for, the greedy one too.
  int64_t n_answers = 0, n_cut = 0, n_tokens = 0;
  double language_share = 0;  // of their words those of the problem's language, the mean over answers
};

// One row of the table.
struct ScoreRow {
  std::string language;  // "": all problems
  int64_t n_problems = 0;
  std::optional<int64_t> k;  // pass@k of drawn answers; none: the greedy answer
  Interval strict, lenient;
};

// What the answers to problems of one language were like.
struct AnswerRow {
  std::string language;  // "": all problems
  int64_t n_problems = 0;
  double language_share = 0;  // the mean over problems that were asked; 0 where none was
  double tokens = 0;          // of an answer, the mean
  double cut_share = 0;       // of the answers
};
// First of all problems, then of each language, where there are several: in the order of score_rows().
std::vector<AnswerRow> answer_rows(const std::vector<ProblemScore>& problems);

// Greedy first, then every k; first of all problems, then of each language, where there are several.
std::vector<ScoreRow> score_rows(const std::vector<ProblemScore>& problems, const std::vector<int64_t>& ks);

}  // namespace naru::eval
