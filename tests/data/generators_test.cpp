// Generators: their own solutions are right, wrong ones are refused, and train and validation share no problem.
#include "data/generators.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "tests/data/rig.h"
#include "text/utf8.h"

namespace naru::data {
namespace {

std::vector<GeneratorOptions> all_options() {
  std::vector<GeneratorOptions> all;
  for (const Trace trace : {Trace::kShort, Trace::kLong, Trace::kMixed}) {
    all.push_back({Generator::kDigits, trace, Language::kAll});
    all.push_back({Generator::kCountdown, trace, Language::kAll});
    for (const Language language : {Language::kEnglish, Language::kKorean, Language::kChinese, Language::kAll}) {
      all.push_back({Generator::kWordProblems, trace, language});
    }
  }
  return all;
}

TEST(Generators, OwnSolutionsAreRightAndProblemsRepeat) {
  for (const GeneratorOptions& options : all_options()) {
    int n_steps = 0;
    for (int64_t i = 0; i < 1000; ++i) {
      const Problem problem = make_problem(options, 7, i, Split::kTrain);
      const Problem again = make_problem(options, 7, i, Split::kTrain);
      ASSERT_EQ(problem.text_prompt + problem.solution, again.text_prompt + again.solution);
      ASSERT_TRUE(text::is_valid_utf8(problem.prompt));
      const Verdict verdict = verify(problem, problem.solution);
      ASSERT_TRUE(verdict.is_right) << problem.prompt << " " << problem.solution << ": " << verdict.reason;
      ASSERT_TRUE(verify(problem, " " + problem.solution + "\n").is_right);
      n_steps += problem.has_steps;
      const Problem other = make_problem(options, 7, i + 1000, Split::kTrain);
      if (options.generator != Generator::kCountdown) {
        ASSERT_EQ(verify(problem, other.solution).is_right, problem.answer == other.answer);
      }
    }
    if (options.trace == Trace::kShort) {
      EXPECT_EQ(n_steps, 0);
    }
    if (options.trace == Trace::kLong) {
      EXPECT_EQ(n_steps, 1000);
    }
    if (options.trace == Trace::kMixed) {
      EXPECT_NEAR(n_steps, 100, 40);
    }
  }
}

// Wrong answers made from right ones: another number, a number too many, an operator changed, the end cut off.
TEST(Generators, SpoiltSolutionsAreRefused) {
  for (const GeneratorOptions& options : all_options()) {
    for (int64_t i = 0; i < 300; ++i) {
      const Problem problem = make_problem(options, 11, i, i % 2 == 0 ? Split::kTrain : Split::kValidation);
      const std::string& right = problem.solution;
      std::vector<std::string> wrong = {"", "####", right + " ####", right + " + 1"};
      std::string other = right;
      char& last = *std::find_if(other.rbegin(), other.rend(), [](char c) { return c >= '0' && c <= '9'; });
      last = last == '9' ? '0' : static_cast<char>(last + 1);
      wrong.push_back(other);
      if (problem.generator == Generator::kCountdown) {
        wrong.push_back("#### " + std::to_string(problem.answer));
        Problem harder = problem;
        ++harder.answer;
        EXPECT_FALSE(verify(harder, right).is_right) << right;
        harder = problem;
        harder.numbers.push_back(problem.numbers.front());
        EXPECT_FALSE(verify(harder, right).is_right) << right;
      } else {
        wrong.push_back(fmt::format("#### {}", problem.answer + 10));
        wrong.push_back(fmt::format("#### -{}", problem.answer));
      }
      for (const std::string& answer : wrong) {
        const Verdict verdict = verify(problem, answer);
        ASSERT_FALSE(verdict.is_right) << problem.prompt << ": " << answer;
        ASSERT_FALSE(verdict.reason.empty()) << answer;
      }
    }
  }
}

TEST(Generators, SplitsShareNoProblemWhateverTheSeed) {
  for (const Generator generator : {Generator::kDigits, Generator::kCountdown, Generator::kWordProblems}) {
    std::set<std::string> train, validation;
    for (const uint64_t seed : {1, 2, 3}) {
      for (int64_t i = 0; i < 3000; ++i) {
        train.insert(make_problem({generator, Trace::kShort, Language::kAll}, seed, i, Split::kTrain).key);
        validation.insert(make_problem({generator, Trace::kLong, Language::kAll}, seed, i, Split::kValidation).key);
      }
    }
    for (const std::string& key : validation) {
      ASSERT_FALSE(train.contains(key)) << key;
      ASSERT_EQ(split_of(key), Split::kValidation);
    }
    EXPECT_GT(validation.size(), 100u);
  }
}

TEST(Generators, StreamsKeepTheSplitsApart) {
  Folder folder;
  recipes::Recipe recipe = make_recipe({generator_source("word_problems", 2000)}, 512);
  recipe.validation = {generator_source("word_problems", 500)};
  const text::Tokenizer tokenizer = make_test_tokenizer();
  const BatchStream train = BatchStream::open(recipe, recipe.data, tokenizer, nullptr, folder.path()).value();
  const BatchStream held_out = BatchStream::open(recipe, recipe.validation, tokenizer, nullptr, folder.path()).value();
  EXPECT_EQ(train.n_documents(), 2000);
  EXPECT_EQ(held_out.n_documents(), 500);
  std::set<std::vector<int32_t>> seen;
  for (int64_t i = 0; i < 2000; ++i) seen.insert(train.document(i).ids);
  EXPECT_EQ(seen.size(), 2000u);  // no problem twice
  for (int64_t i = 0; i < 500; ++i) EXPECT_FALSE(seen.contains(held_out.document(i).ids));
}

TEST(Generators, DocumentsBeginWithThePromptsOwnIds) {
  Folder folder;
  const recipes::Recipe recipe = make_recipe({generator_source("word_problems", 50)}, 256);
  const text::Tokenizer tokenizer = make_test_tokenizer();
  const BatchStream stream = BatchStream::open(recipe, recipe.data, tokenizer, nullptr, folder.path()).value();
  GeneratorOptions options = generator_options(recipe.data[0]).value();
  for (int64_t i = 0; i < 50; ++i) {
    const Document& document = stream.document(i);
    const Problem problem = make_problem(options, recipe.seed, document.index, Split::kTrain);
    const std::vector<int32_t> prompt = tokenizer.encode(problem.text_prompt);
    ASSERT_LT(prompt.size(), document.ids.size());
    EXPECT_TRUE(std::equal(prompt.begin(), prompt.end(), document.ids.begin()));
    const std::string text = tokenizer.decode(document.ids, true);
    EXPECT_EQ(text, problem.text_prompt + " " + problem.solution);
  }
}

TEST(Generators, ASmallWorldIsSaidToBeSmall) {
  auto series = ProblemSeries::create({Generator::kWordProblems, Trace::kLong, Language::kEnglish}, 1,
                                      Split::kValidation, 8000000);
  ASSERT_TRUE(series.ok());
  // Drawing them all would take long; a small one of its kind is not there, so only the first few are looked at.
  std::set<std::string> texts;
  for (int i = 0; i < 5000; ++i) {
    const auto problem = series->next();
    ASSERT_TRUE(problem.ok() && problem->has_value());
    EXPECT_TRUE(texts.insert((*problem)->text_prompt).second);
  }
}

Problem digits(std::vector<int64_t> numbers, int64_t answer) {
  Problem problem;
  problem.generator = Generator::kDigits;
  problem.numbers = std::move(numbers);
  problem.answer = answer;
  return problem;
}

TEST(Verifiers, Digits) {
  const Problem problem = digits({3, 9, 1}, 3);
  EXPECT_TRUE(verify(problem, "3").is_right);
  EXPECT_TRUE(verify(problem, " 3 2 3 \n").is_right);
  for (const char* wrong : {"", " ", "2", "3 2", "3 2 2", "3.", "x3", "13a", "3\n3", "-3"}) {
    EXPECT_FALSE(verify(problem, wrong).is_right) << wrong;
  }
}

TEST(Verifiers, Countdown) {
  Problem problem;
  problem.generator = Generator::kCountdown;
  problem.numbers = {4, 7, 12};
  problem.answer = 36;
  for (const char* right : {"12 * (7 - 4)", "(7-4)*12", "((12))*((7)-4)", "7 - 4 = 3; 3 * 12 = 36 #### (7 - 4) * 12",
                            "12 / (1 - 1) #### 12*(7-4)", " 12 * (7 - 4)\n"}) {
    EXPECT_TRUE(verify(problem, right).is_right) << right << ": " << verify(problem, right).reason;
  }
  const std::pair<const char*, const char*> wrong[] = {
      {"", "no expression"},
      {"36", "each number once"},
      {"12 * (7 - 4) = 36", "no part"},
      {"12 * (7 - 4", "parenthesis"},
      {"12 * 7 - 4", "gives 80"},
      {"12 * (7 - 4) + 4 - 4", "each number once"},
      {"12 / (7 - 7) * 4", "divides by zero"},
      {"12 * * 7", "number is missing"},
      {"4 / 7 / 12", "gives 1/21"},
      {"12 * (7 - 4))", "no part"},
      {"99999999999999999999", "too large"},
      {"12 * (7 - 4) #### ", "no expression"},
      {"\xff", "number is missing"},
      {"-12", "number is missing"},
  };
  for (const auto& [answer, reason] : wrong) {
    const Verdict verdict = verify(problem, answer);
    EXPECT_FALSE(verdict.is_right) << answer;
    EXPECT_NE(verdict.reason.find(reason), std::string::npos) << answer << ": " << verdict.reason;
  }
  EXPECT_FALSE(verify(problem, std::string(100000, '(')).is_right);
  EXPECT_FALSE(verify(problem, std::string(400, '(')).is_right);
  std::string grows = "1000000";
  for (int i = 0; i < 40; ++i) grows += "*999999";
  EXPECT_NE(verify(problem, grows).reason.find("too large"), std::string::npos);
  // Fractions on the way are exact.
  problem.numbers = {1, 3, 3};
  problem.answer = 1;
  EXPECT_TRUE(verify(problem, "1 / 3 * 3").is_right);
}

TEST(Verifiers, BoundsOfExpressionsAndNumbers) {
  Problem problem;
  problem.generator = Generator::kCountdown;
  problem.numbers = {5, 7};
  problem.answer = 12;
  EXPECT_TRUE(verify(problem, "5 +" + std::string(508, ' ') + "7").is_right);
  EXPECT_NE(verify(problem, "5 +" + std::string(509, ' ') + "7").reason.find("too long"), std::string::npos);
  EXPECT_TRUE(verify(problem, std::string(32, '(') + "5+7" + std::string(32, ')')).is_right);
  EXPECT_NE(verify(problem, std::string(33, '(') + "5+7" + std::string(33, ')')).reason.find("too many parentheses"),
            std::string::npos);
  problem.numbers = {1000000};
  problem.answer = 1000000;
  EXPECT_TRUE(verify(problem, "1000000").is_right);
  EXPECT_NE(verify(problem, "1000001").reason.find("too large"), std::string::npos);
  problem.generator = Generator::kWordProblems;
  problem.answer = 12;
  EXPECT_TRUE(verify(problem, std::string(16, '0') + "12").is_right);
  EXPECT_NE(verify(problem, std::string(17, '0') + "12").reason.find("too long"), std::string::npos);
}

TEST(Verifiers, WordProblems) {
  Problem problem;
  problem.generator = Generator::kWordProblems;
  problem.answer = 12;
  for (const char* right :
       {"7 + 5 = 12 #### 12", "#### 12", "####12", "the answer is 12.", "7 + 5 = 12", "12 #### 012"}) {
    EXPECT_TRUE(verify(problem, right).is_right) << right;
  }
  for (const char* wrong : {"", "twelve", "#### 13", "12 ####", "12 #### x", "#### 12 apples", "12 #### 1", "12 or 13",
                            "-12", "#### -12", "1.12", "99999999999999999999999999999912", "#### -"}) {
    EXPECT_FALSE(verify(problem, wrong).is_right) << wrong;
  }
}

TEST(Generators, StoriesReadWell) {
  // Particles of Korean by the sound before them; no placeholder left in any language.
  std::map<Language, std::set<std::string>> seen;
  for (const Language language : {Language::kEnglish, Language::kKorean, Language::kChinese}) {
    for (int64_t i = 0; i < 3000; ++i) {
      const Problem problem = make_problem({Generator::kWordProblems, Trace::kLong, language}, 1, i, Split::kTrain);
      ASSERT_EQ(problem.prompt.find_first_of("{}|"), std::string::npos) << problem.prompt;
      for (const char* wrong : {"민수은", "지영는", "사과을", "책를", "수아이 ", "서준가", "자루을", "권를"}) {
        ASSERT_EQ(problem.prompt.find(wrong), std::string::npos) << problem.prompt;
      }
      seen[language].insert(problem.key.substr(0, problem.key.find(':')));
    }
    EXPECT_EQ(seen[language].size(), 12u);
  }
}

}  // namespace
}  // namespace naru::data
