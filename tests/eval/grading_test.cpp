#include "eval/grading.h"

#include <gtest/gtest.h>

#include "data/generators.h"
#include "eval/problem_set.h"
#include "eval/scores.h"

namespace naru::eval {
namespace {

enum class Expected { kStrict, kLenient, kWrong };

struct Case {
  std::string answer;
  Expected expected;
};

void expect_grades(const data::Problem& problem, const Grading& grading, const std::vector<Case>& cases) {
  for (const Case& one : cases) {
    const Grade found = grade(problem, {.text = one.answer}, grading);
    EXPECT_EQ(found.is_strict, one.expected == Expected::kStrict) << one.answer;
    EXPECT_EQ(found.is_lenient, one.expected != Expected::kWrong) << one.answer;
  }
}

data::Problem of_generator(data::Generator generator, int64_t answer, std::vector<int64_t> numbers = {}) {
  data::Problem problem;
  problem.generator = generator;
  problem.answer = answer;
  problem.numbers = std::move(numbers);
  return problem;
}

data::Problem of_file(std::string answer) {
  data::Problem problem;
  problem.answer_text = std::move(answer);
  return problem;
}

TEST(Grading, Digits) {
  expect_grades(of_generator(data::Generator::kDigits, 7), {},
                {{"3 8 0 7", Expected::kStrict},
                 {"7", Expected::kStrict},
                 {"The last digit is 7.", Expected::kLenient},
                 {"3 8 7 0", Expected::kWrong},
                 {"seven", Expected::kWrong},
                 {"", Expected::kWrong}});
}

TEST(Grading, Countdown) {
  expect_grades(of_generator(data::Generator::kCountdown, 36, {4, 7, 12}), {},
                {{"12 * (7 - 4)", Expected::kStrict},
                 {"7 - 4 = 3; 12 * 3 = 36 #### 12 * (7 - 4)", Expected::kStrict},
                 {"12 * (7 - 4) = 36", Expected::kLenient},
                 {"We have 36 = 12 × (7 − 4).", Expected::kLenient},
                 {"- 12 * (7 - 4)\n- I am sure", Expected::kLenient},
                 {"36", Expected::kWrong},
                 {"12 * 3 = 36", Expected::kWrong},
                 {"((((", Expected::kWrong},
                 {"- + * /", Expected::kWrong},
                 {"", Expected::kWrong}});
}

TEST(Grading, WordProblems) {
  expect_grades(of_generator(data::Generator::kWordProblems, 1024), {},
                {{"4 * 256 = 1024 #### 1024", Expected::kStrict},
                 {"There are 1024", Expected::kStrict},
                 {"#### $1024", Expected::kLenient},
                 {"That makes 1,024 eggs.", Expected::kLenient},
                 {"1024 is not it, 7 is", Expected::kWrong},
                 {"none", Expected::kWrong}});
}

TEST(Grading, OfAFileByWhereItsAnswersStand) {
  expect_grades(of_file("18"), {}, {{"18", Expected::kStrict}, {"17", Expected::kWrong}});
  expect_grades(of_file("9 + 9 = 18\n#### 18"), {},
                {{"#### 18", Expected::kStrict}, {"It is 18.", Expected::kLenient}, {"#### 19", Expected::kWrong}});
  expect_grades(of_file("Hence \\boxed{18}"), {},
                {{"so \\boxed{18}", Expected::kStrict}, {"It is 18.", Expected::kLenient}});
  expect_grades(of_file("18"), {.place = rewards::AnswerPlace::kBoxed, .tag = {}},
                {{"\\boxed{18}", Expected::kStrict}, {"18", Expected::kLenient}});
  expect_grades(of_file("Seoul"), {.place = rewards::AnswerPlace::kWhole, .tag = {}},
                {{"Seoul", Expected::kStrict},
                 {"**seoul.**", Expected::kLenient},
                 {"It is\nSeoul!", Expected::kLenient},
                 {"Busan", Expected::kWrong}});
}

TEST(Grading, ReasoningIsFormat) {
  const Grading grading{.tag = "think"};
  expect_grades(of_file("18"), grading,
                {{"<think>9 + 9</think>18", Expected::kStrict},
                 {"18", Expected::kLenient},
                 {"<think>a</think><think>b</think>18", Expected::kLenient},
                 {"<think>18</think>17", Expected::kWrong}});
  EXPECT_TRUE(grade(of_file("18"), {.text = "9 + 9</think>18", .begins_in_reasoning = true}, grading).is_strict);
  EXPECT_FALSE(grade(of_file("18"), {.text = "9 + 9</think>18"}, grading).is_strict);
}

TEST(Grading, WhatIsCutOffIsRightByChance) {
  const Grade found = grade(of_file("18"), {.text = "Let us see: 9 + 9 = 18", .is_cut = true}, {});
  EXPECT_FALSE(found.is_strict);
  EXPECT_TRUE(found.is_lenient);
}

TEST(Grading, EverySolutionOfAGeneratorIsRight) {
  for (const char* name : {"digits", "countdown", "word_problems"}) {
    recipes::SourceRecipe source;
    source.generator = name;
    const auto options = data::generator_options(source);
    ASSERT_TRUE(options.ok());
    for (int64_t i = 0; i < 200; ++i) {
      const data::Problem problem = data::make_problem(*options, 3, i, data::Split::kValidation);
      const Grade found = grade(problem, {.text = problem.solution}, {});
      EXPECT_TRUE(found.is_strict && found.is_lenient) << problem.solution;
      if (*problem.generator == data::Generator::kCountdown) {
        EXPECT_TRUE(holds_expression(problem, "I say: " + problem.solution + " = " + std::to_string(problem.answer)));
      }
    }
  }
}

TEST(Scores, RowsOfAllAndOfEachLanguage) {
  std::vector<ProblemScore> problems;
  problems.push_back({.language = "ko", .greedy = {true, true}, .n_drawn = 4, .n_strict = 2, .n_lenient = 4});
  problems.push_back({.language = "en", .greedy = {false, true}, .n_drawn = 4, .n_strict = 0, .n_lenient = 1});
  problems.push_back({.language = "en", .greedy = {false, false}, .n_drawn = 4, .n_strict = 1, .n_lenient = 1});
  const std::vector<ScoreRow> rows = score_rows(problems, {1, 4});
  ASSERT_EQ(rows.size(), 9);
  EXPECT_EQ(rows[0].language, "");
  EXPECT_EQ(rows[3].language, "en");
  EXPECT_EQ(rows[6].language, "ko");
  EXPECT_FALSE(rows[0].k);
  EXPECT_DOUBLE_EQ(rows[0].strict.mean, 1.0 / 3);
  EXPECT_DOUBLE_EQ(rows[0].lenient.mean, 2.0 / 3);
  EXPECT_DOUBLE_EQ(rows[1].strict.mean, 3.0 / 12);
  EXPECT_DOUBLE_EQ(rows[1].lenient.mean, 6.0 / 12);
  EXPECT_DOUBLE_EQ(rows[2].strict.mean, 2.0 / 3);  // pass@4: some of the four
  EXPECT_DOUBLE_EQ(rows[2].lenient.mean, 1);
  EXPECT_DOUBLE_EQ(rows[4].strict.mean, 1.0 / 8);
  EXPECT_EQ(rows[8].n_problems, 1);
  problems.pop_back(), problems.pop_back();
  EXPECT_EQ(score_rows(problems, {}).size(), 1);  // one language: no rows of it
}

TEST(Scores, AnswersAreCountedByLanguage) {
  std::vector<ProblemScore> problems;
  problems.push_back({.language = "ko", .n_answers = 4, .n_cut = 1, .n_tokens = 40, .language_share = 0.5});
  problems.push_back({.language = "en", .n_answers = 4, .n_cut = 0, .n_tokens = 20, .language_share = 1});
  problems.push_back({.language = "en"});  // longer than the context: it was not asked
  const std::vector<AnswerRow> rows = answer_rows(problems);
  ASSERT_EQ(rows.size(), 3);
  EXPECT_EQ(rows[0].n_problems, 3);
  EXPECT_DOUBLE_EQ(rows[0].language_share, 0.75);
  EXPECT_DOUBLE_EQ(rows[0].tokens, 60.0 / 8);
  EXPECT_DOUBLE_EQ(rows[0].cut_share, 1.0 / 8);
  EXPECT_EQ(rows[1].language, "en");
  EXPECT_DOUBLE_EQ(rows[1].language_share, 1);
  EXPECT_DOUBLE_EQ(rows[1].tokens, 5);
  EXPECT_DOUBLE_EQ(rows[2].cut_share, 0.25);
  EXPECT_EQ(answer_rows({{.language = "zh"}}).at(0).tokens, 0);
}

TEST(Scores, AProblemSetIsAFunctionOfItsWish) {
  recipes::SourceRecipe source, korean, unknown;
  source.generator = korean.generator = "word_problems";
  korean.language = "ko";
  unknown.generator = "no such";
  const auto a = generated_problems(source, 3, 40), b = generated_problems(source, 3, 40);
  ASSERT_TRUE(a.ok() && b.ok());
  EXPECT_EQ(a->sha256, b->sha256);
  EXPECT_EQ(a->problems.size(), 40u);
  EXPECT_LE(a->n_different(), 40);
  EXPECT_NE(generated_problems(source, 4, 40)->sha256, a->sha256);
  EXPECT_NE(generated_problems(korean, 3, 40)->sha256, a->sha256);
  EXPECT_FALSE(generated_problems(unknown, 3, 40).ok());
}

}  // namespace
}  // namespace naru::eval
