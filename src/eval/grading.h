// Grading: whether an answer is right, twice. Strictly: whole, where and in the form that is asked for, as
// reinforcement learning judges it (rewards/judge.h). Leniently: wherever it stands, in any usual form, cut off or not.
// The gap between the two is format, not skill. What is strictly right is leniently right, too.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "data/problem.h"
#include "rewards/answers.h"

namespace naru::eval {

// Of everything that says how good an answer is: this, the verifiers of generators (data/generators.h), places and
// comparisons of answers, and whose language words are of (rewards/). Scores that are kept are of one version; where
// the same answer is judged otherwise than before, it rises (tests/eval/grading_version_test.cpp notices that).
inline constexpr int64_t kGradingVersion = 1;

struct Grade {
  bool is_strict = false, is_lenient = false;
};

struct Grading {
  // Of the problems of a file: where the answer must stand. kUsual: where the right answer itself stands, behind ####
  // or in \boxed{}, where it does; else the usual places.
  rewards::AnswerPlace place = rewards::AnswerPlace::kUsual;
  rewards::Comparison comparison = rewards::Comparison::kAsProblem;
  // Strictly right is only what follows reasoning in this tag, opened once and closed once.
  std::optional<std::string> tag;
};

struct GradedText {
  std::string_view text;             // without special tokens; any bytes
  bool begins_in_reasoning = false;  // the prompt ended with the opening tag
  bool is_cut = false;               // it was not ended by the model: what it says last is chance
};

// In time linear in the answer.
Grade grade(const data::Problem& problem, const GradedText& answer, const Grading& grading);

// Whether some stretch of the text is an expression that solves the countdown problem: times and divided by may be
// written as signs of mathematics, too.
bool holds_expression(const data::Problem& problem, std::string_view text);

}  // namespace naru::eval
