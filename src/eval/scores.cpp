#include "eval/scores.h"

#include <map>

namespace naru::eval {
namespace {

Interval greedy_interval(const std::vector<const ProblemScore*>& problems, bool Grade::*is_right) {
  std::vector<double> values;
  for (const ProblemScore* one : problems) values.push_back(one->greedy.*is_right ? 1 : 0);
  return mean_of(values, 1);
}

Interval drawn_interval(const std::vector<const ProblemScore*>& problems, int64_t k, int64_t ProblemScore::*n_right) {
  std::vector<double> values;
  int64_t n_each = 1;
  for (const ProblemScore* one : problems) {
    values.push_back(pass_at_k(one->n_drawn, one->*n_right, k));
    n_each = one->n_drawn / k;  // so many sets of k are there that share no answer
  }
  return mean_of(values, n_each);
}

void add_rows(const std::string& language, const std::vector<const ProblemScore*>& problems,
              const std::vector<int64_t>& ks, std::vector<ScoreRow>& rows) {
  rows.push_back({.language = language,
                  .n_problems = std::ssize(problems),
                  .k = std::nullopt,
                  .strict = greedy_interval(problems, &Grade::is_strict),
                  .lenient = greedy_interval(problems, &Grade::is_lenient)});
  for (const int64_t k : ks) {
    rows.push_back({.language = language,
                    .n_problems = std::ssize(problems),
                    .k = k,
                    .strict = drawn_interval(problems, k, &ProblemScore::n_strict),
                    .lenient = drawn_interval(problems, k, &ProblemScore::n_lenient)});
  }
}

}  // namespace

std::vector<ScoreRow> score_rows(const std::vector<ProblemScore>& problems, const std::vector<int64_t>& ks) {
  std::vector<const ProblemScore*> all;
  std::map<std::string, std::vector<const ProblemScore*>> by_language;
  for (const ProblemScore& one : problems) {
    all.push_back(&one);
    by_language[one.language].push_back(&one);
  }
  std::vector<ScoreRow> rows;
  add_rows("", all, ks, rows);
  if (by_language.size() < 2) return rows;
  for (const auto& [language, some] : by_language) add_rows(language, some, ks, rows);
  return rows;
}

}  // namespace naru::eval
