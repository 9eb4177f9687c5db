// How answers are judged has a version, and scores that were kept are of one (kGradingVersion). Here are answers of all
// sorts to problems of all kinds: the hash of what is said of them belongs to one version. Where this fails, the same
// answer is judged otherwise than before: raise kGradingVersion and write the new hash below the others.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <array>
#include <string>
#include <vector>

#include "base/sha256.h"
#include "data/generators.h"
#include "eval/grading.h"
#include "rewards/languages.h"

namespace naru::eval {
namespace {

struct VersionHash {
  int64_t version;
  std::string_view sha256;
};
constexpr std::array<VersionHash, 1> kKnown = {
    {{1, "1d4f6855acaa8681605cb748cb4884a925f0a00aeddafbcef31f3e28eb5daeb7"}}};

class Judged {
 public:
  void add(const data::Problem& problem, const std::string& answer, const Grading& grading) {
    for (const bool is_cut : {false, true}) {
      for (const bool begins_in_reasoning : {false, true}) {
        const Grade found = grade(problem, {answer, begins_in_reasoning, is_cut}, grading);
        said_ += fmt::format("{}{}", found.is_strict ? 's' : '-', found.is_lenient ? 'l' : '-');
      }
    }
    said_ +=
        fmt::format(" {} {:.6f}\n", rewards::language_word(answer), rewards::language_share(problem.prompt, answer));
    ++n_;
  }
  std::string sha256() const { return sha256_hex(as_bytes(said_)); }
  int64_t n() const { return n_; }

 private:
  std::string said_;
  int64_t n_ = 0;
};

// Ways to write what is right, nearly right and wrong.
std::vector<std::string> ways(const std::string& solution, const std::string& answer) {
  return {solution,
          " " + solution + "\n",
          answer,
          "#### " + answer,
          "#### " + answer + " #### 0",
          "\\boxed{" + answer + "}",
          "**" + answer + "**.",
          "The answer is " + answer + ".",
          "답은 " + answer + "입니다.",
          "答案是" + answer + "。",
          answer + "\nand 1 more",
          "1" + answer,
          "-" + answer,
          answer + ".0",
          answer + "/1",
          "<think>so</think>" + solution,
          "<think>so</think><think>" + solution + "</think>",
          "so</think> " + answer,
          "<answer>" + answer + "</answer>",
          "",
          "####",
          "((((1+",
          std::string("\xff\x00 ", 3) + answer};
}

void add_generators(Judged& judged) {
  constexpr std::array kTraces = {data::Trace::kShort, data::Trace::kLong, data::Trace::kMixed, data::Trace::kThink};
  for (const data::Generator generator :
       {data::Generator::kDigits, data::Generator::kCountdown, data::Generator::kWordProblems}) {
    for (const data::Trace trace : kTraces) {
      if (generator == data::Generator::kDigits && trace == data::Trace::kThink) continue;
      const data::GeneratorOptions options{.generator = generator, .trace = trace};
      for (int64_t i = 0; i < 6; ++i) {
        const data::Problem problem = data::make_problem(options, 7, i, data::Split::kValidation);
        const std::string answer = problem.answer_text.value_or("");
        std::vector<std::string> all = ways(problem.solution, answer);
        // An expression that is right, between words and as the steps of a sum.
        for (const std::string& way : ways(answer, problem.solution.substr(problem.solution.rfind('\n') + 1))) {
          all.push_back(way);
        }
        for (const std::string& way : all) {
          judged.add(problem, way, {});
          judged.add(problem, way, {.tag = "think"});
        }
      }
    }
  }
}

void add_files(Judged& judged) {
  const std::vector<std::string> rights = {"36",         "3.50",   "1/2",   "1,234", "Seoul", "배",
                                           "\\boxed{5}", "#### 7", "x = 2", "50 %",  "-0.5",  "2 apples"};
  for (const std::string& right : rights) {
    data::Problem problem;
    problem.prompt = "Which one?";
    problem.answer_text = right;
    for (const char* place : {"", "whole", "last_line", "boxed", "mark", "number"}) {
      for (const char* comparison : {"", "text", "number"}) {
        const Grading grading{
            .place = rewards::answer_place(place), .comparison = rewards::comparison(comparison), .tag = {}};
        for (const std::string& way : ways("So it is " + right, right)) judged.add(problem, way, grading);
      }
    }
  }
}

TEST(GradingVersion, BelongsToWhatIsSaidOfAnswers) {
  Judged judged;
  add_generators(judged);
  add_files(judged);
  EXPECT_GT(judged.n(), 5000);
  EXPECT_EQ(kKnown.back().version, kGradingVersion) << "every version has its hash";
  EXPECT_EQ(kKnown.back().sha256, judged.sha256())
      << "answers are judged otherwise than at version " << kGradingVersion
      << ": raise kGradingVersion (eval/grading.h), and write the new hash below the others";
}

}  // namespace
}  // namespace naru::eval
