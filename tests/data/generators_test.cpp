// Generators: their own solutions are right, wrong ones are refused, and train and validation share no problem.
#include "data/generators.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <sstream>
#include <utility>

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
  for (const Language language : {Language::kEnglish, Language::kKorean, Language::kChinese, Language::kAll}) {
    all.push_back({Generator::kWordProblems, Trace::kThink, language});
    all.push_back({Generator::kCountdown, Trace::kThink, language, 3});
    all.push_back({Generator::kCountdown, Trace::kThink, language, 4});
    all.push_back({Generator::kCountdown, Trace::kShort, language});
  }
  return all;
}

// What a verifier is given: without the reasoning before it.
std::string said(const Problem& problem) {
  constexpr std::string_view kClose = "</think>";
  const size_t end = problem.solution.find(kClose);
  return end == std::string::npos ? problem.solution : problem.solution.substr(end + kClose.size());
}

TEST(Generators, OwnSolutionsAreRightAndProblemsRepeat) {
  for (const GeneratorOptions& options : all_options()) {
    int n_steps = 0;
    for (int64_t i = 0; i < 1000; ++i) {
      const Problem problem = make_problem(options, 7, i, Split::kTrain);
      const Problem again = make_problem(options, 7, i, Split::kTrain);
      ASSERT_EQ(problem.text_prompt + problem.solution, again.text_prompt + again.solution);
      ASSERT_TRUE(text::is_valid_utf8(problem.prompt));
      const Verdict verdict = verify(problem, said(problem));
      ASSERT_TRUE(verdict.is_right) << problem.prompt << " " << problem.solution << ": " << verdict.reason;
      ASSERT_TRUE(verify(problem, " " + said(problem) + "\n").is_right);
      n_steps += problem.has_steps;
      const Problem other = make_problem(options, 7, i + 1000, Split::kTrain);
      if (options.generator != Generator::kCountdown) {
        ASSERT_EQ(verify(problem, said(other)).is_right, problem.answer == other.answer);
      }
    }
    if (options.trace == Trace::kShort) {
      EXPECT_EQ(n_steps, 0);
    }
    if (options.trace == Trace::kLong || options.trace == Trace::kThink) {
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
      const std::string right = said(problem);
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

// Every equation of a text, as in "36-7=29 36+7=43|12+4=16": what it says is so, and its result.
std::vector<int64_t> results_of(std::string_view equations) {
  std::vector<int64_t> results;
  std::istringstream in{std::string(equations)};
  int64_t x = 0, y = 0, result = 0;
  char op = 0, sign = 0;
  while (in >> x >> op >> y >> sign >> result) {
    const int64_t wanted = op == '+' ? x + y : op == '-' ? x - y : op == '*' ? x * y : x / y;
    EXPECT_EQ(result, wanted) << equations;
    EXPECT_EQ(sign, '=') << equations;
    if (op == '/') {
      EXPECT_EQ(x % y, 0) << equations;
    }
    results.push_back(result);
  }
  EXPECT_TRUE(in.eof()) << equations;
  return results;
}

std::string reasoning_of(const Problem& problem) {
  constexpr std::string_view kOpen = "<think>", kClose = "</think>\n";
  const size_t end = problem.solution.find(kClose);
  EXPECT_TRUE(problem.solution.starts_with(kOpen)) << problem.solution;
  EXPECT_NE(end, std::string::npos) << problem.solution;
  return problem.solution.substr(kOpen.size(), end - kOpen.size());
}

TEST(Thought, ASearchIsTrueAndEndsWhereItFinds) {
  for (const int64_t numbers : {3, 4}) {
    int64_t longest = 0, n_lines = 0, n_failed = 0;
    for (int64_t i = 0; i < 2000; ++i) {
      const Problem problem =
          make_problem({Generator::kCountdown, Trace::kThink, Language::kEnglish, numbers}, 5, i, Split::kTrain);
      ASSERT_EQ(std::ssize(problem.numbers), numbers);
      std::istringstream lines(reasoning_of(problem));
      std::string line;
      if (numbers == 4) {
        std::getline(lines, line);
        ASSERT_EQ(results_of(line).size(), 1u) << line;
      }
      int64_t n = 0;
      bool is_found = false;
      for (; std::getline(lines, line); ++n) {
        ASSERT_FALSE(is_found) << problem.solution;
        const size_t bar = line.find('|');
        ASSERT_NE(bar, std::string::npos) << problem.solution;
        const std::vector<int64_t> needs = results_of(line.substr(0, bar)), given = results_of(line.substr(bar + 1));
        // Of the pair: equations of the same two numbers as the first. Others are checks.
        const std::string behind = line.substr(bar + 1);
        const auto ends_of = [](const std::string& equation) {
          const size_t op = equation.find_first_of("+-*/");
          return equation.substr(0, op) + " " + equation.substr(op + 1, equation.find('=') - op - 1);
        };
        std::istringstream equations(behind);
        std::string equation, pair;
        for (size_t k = 0; equations >> equation; ++k) {
          ASSERT_FALSE(is_found) << problem.solution;
          if (k == 0) pair = ends_of(equation);
          const bool is_pair = ends_of(equation) == pair;
          const bool is_needed = is_pair && std::ranges::find(needs, given[k]) != needs.end();
          ASSERT_TRUE(!is_needed || k + 2 == given.size()) << problem.solution;
          n_failed += !is_pair && given[k] != problem.answer;
          is_found = k > 0 && k + 1 == given.size() && std::ranges::find(needs, given[k - 1]) != needs.end() &&
                     given[k] == problem.answer;
        }
      }
      EXPECT_TRUE(is_found) << problem.solution;
      ASSERT_LE(n, 3);
      n_lines += n;
      longest = std::max(longest, std::ssize(problem.solution));
    }
    EXPECT_GT(n_failed, 300);
    EXPECT_GT(n_lines, 2500);  // not all are found at once
    EXPECT_LT(longest, 320);
  }
}

TEST(Thought, OfWordProblemsIsTrueAndTheAnswerIsASentence) {
  constexpr std::pair<Language, std::string_view> kEnds[] = {
      {Language::kEnglish, "."}, {Language::kKorean, "니다."}, {Language::kChinese, "。"}};
  for (const auto& [language, end] : kEnds) {
    for (int64_t i = 0; i < 1000; ++i) {
      const Problem problem = make_problem({Generator::kWordProblems, Trace::kThink, language}, 1, i, Split::kTrain);
      const std::string sentence = said(problem);
      EXPECT_EQ(results_of(reasoning_of(problem)).back(), problem.answer) << problem.solution;
      EXPECT_TRUE(sentence.ends_with(end)) << sentence;
      EXPECT_EQ(sentence.find_first_of("{}|#"), std::string::npos) << sentence;
      for (const char* wrong : {"민수은", "지영는", "사과을", "책를", "서준가"}) {
        EXPECT_EQ(sentence.find(wrong), std::string::npos) << sentence;
      }
    }
  }
}

TEST(Countdown, IsAskedInThreeLanguages) {
  std::set<std::string> endings;
  for (int64_t i = 0; i < 500; ++i) {
    const auto ask = [&](Language language) {
      return make_problem({Generator::kCountdown, Trace::kShort, language, 3}, 1, i, Split::kTrain);
    };
    const Problem english = ask(Language::kEnglish), korean = ask(Language::kKorean), chinese = ask(Language::kChinese);
    EXPECT_EQ(english.key, korean.key);
    EXPECT_EQ(english.solution, chinese.solution);
    EXPECT_TRUE(english.prompt.starts_with(fmt::format("Make {} from", english.answer))) << english.prompt;
    EXPECT_TRUE(chinese.prompt.starts_with("用 + - * / ")) << chinese.prompt;
    // 30을 (삼십), 31을 (일), 32를 (이), 100을 (백)
    const bool ends_in_vowel = std::string_view("2459").find(std::to_string(korean.answer).back()) != std::string::npos;
    const std::string made = fmt::format(" {}{} ", korean.answer, ends_in_vowel ? "를" : "을");
    EXPECT_NE(korean.prompt.find(made), std::string::npos) << korean.prompt;
    const std::string numbers = fmt::format("{} {} {}", english.numbers[0], english.numbers[1], english.numbers[2]);
    for (const Problem* problem : {&english, &korean, &chinese}) {
      EXPECT_NE(problem->prompt.find(numbers), std::string::npos) << problem->prompt;
    }
  }
}

TEST(Generators, OptionsThatAGeneratorLacksAreRefused) {
  const auto refusal = [](std::string generator, std::string language, std::string trace, int64_t numbers) {
    recipes::SourceRecipe source;
    source.generator = std::move(generator);
    source.language = std::move(language);
    source.trace = std::move(trace);
    source.numbers = numbers;
    const auto options = generator_options(source);
    return options.ok() ? std::string() : options.error().message;
  };
  EXPECT_EQ(refusal("countdown", "all", "think", 3), "");
  EXPECT_EQ(refusal("word_problems", "all", "think", 0), "");
  EXPECT_NE(refusal("digits", "", "think", 0).find("think"), std::string::npos);
  EXPECT_NE(refusal("digits", "ko", "", 0).find("has no language"), std::string::npos);
  EXPECT_NE(refusal("countdown", "", "", 2).find("3 or 4"), std::string::npos);
  EXPECT_NE(refusal("countdown", "", "", 5).find("3 or 4"), std::string::npos);
  EXPECT_NE(refusal("word_problems", "", "", 3).find("with countdown"), std::string::npos);
  EXPECT_EQ(generator_options([] {
              recipes::SourceRecipe source;
              source.generator = "countdown";
              return source;
            }())
                ->language,
            Language::kEnglish);
}

}  // namespace
}  // namespace naru::data
