#include "eval/scores.h"

#include <map>
#include <utility>

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

AnswerRow answer_row(const std::string& language, const std::vector<const ProblemScore*>& problems) {
  AnswerRow row{.language = language, .n_problems = std::ssize(problems)};
  int64_t n_asked = 0, n_answers = 0, n_cut = 0, n_tokens = 0;
  for (const ProblemScore* one : problems) {
    n_answers += one->n_answers;
    n_cut += one->n_cut;
    n_tokens += one->n_tokens;
    if (one->n_answers == 0) continue;
    ++n_asked;
    row.language_share += one->language_share;
  }
  if (n_asked > 0) row.language_share /= static_cast<double>(n_asked);
  if (n_answers == 0) return row;
  row.tokens = static_cast<double>(n_tokens) / static_cast<double>(n_answers);
  row.cut_share = static_cast<double>(n_cut) / static_cast<double>(n_answers);
  return row;
}

using ScoreGroup = std::pair<std::string, std::vector<const ProblemScore*>>;

// All of them, then those of each language where there are several.
std::vector<ScoreGroup> groups_of(const std::vector<ProblemScore>& problems) {
  std::vector<ScoreGroup> groups(1);
  std::map<std::string, std::vector<const ProblemScore*>> by_language;
  for (const ProblemScore& one : problems) {
    groups.front().second.push_back(&one);
    by_language[one.language].push_back(&one);
  }
  if (by_language.size() < 2) return groups;
  for (auto& [language, some] : by_language) groups.emplace_back(language, std::move(some));
  return groups;
}

}  // namespace

std::vector<ScoreRow> score_rows(const std::vector<ProblemScore>& problems, const std::vector<int64_t>& ks) {
  std::vector<ScoreRow> rows;
  for (const auto& [language, some] : groups_of(problems)) add_rows(language, some, ks, rows);
  return rows;
}

std::vector<AnswerRow> answer_rows(const std::vector<ProblemScore>& problems) {
  std::vector<AnswerRow> rows;
  for (const auto& [language, some] : groups_of(problems)) rows.push_back(answer_row(language, some));
  return rows;
}

}  // namespace naru::eval
