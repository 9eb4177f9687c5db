// Where answers stand, numbers, the form of reasoning, languages, and the sum of parts.
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "rewards/answers.h"
#include "rewards/judge.h"
#include "rewards/languages.h"
#include "rewards/numbers.h"
#include "rewards/reasoning_form.h"

namespace naru::rewards {
namespace {

TEST(Numbers, SpellingsOfOneNumberAreEqual) {
  const std::vector<std::vector<std::string>> same = {
      {"1234", "1,234", "1234.0", "1.234e3", "+1234", "１２３４", "１，２３４", "$1,234.00", "1{,}234", "₩1,234원",
       "1234元", "1 234/1", "01234", "1234.", "x = 1234", "1.234 \\times 10^{3}", "1.234×10^3", "1.234 thousand",
       "1.234천"},
      {"0.5", ".5", "1/2", "\\frac{1}{2}", "\\dfrac{1}{2}", "2/4", "5e-1", "0.50", "50e-2", "½ is 0.5"},
      {"-7", "−7", "-7.0", "（-7）", "-14/2", "$-7$", "- 7 is -7"},
      {"0", "-0", "0.000", "0/5", "0e9"},
      {"30000", "3만", "3万", "30,000", "3e4", "30 thousand"},
      {"200000000", "2억", "2亿", "200 million"},
      {"3", "3千克", "3 km", "3 m^2", "3 m^{2}", "3개", "3 apples", "3 %"}};
  for (const auto& group : same) {
    for (const std::string& text : group) {
      if (text == "1 234/1" || text == "- 7 is -7") continue;  // two numbers
      const auto a = only_number(group[0]), b = only_number(text);
      ASSERT_TRUE(a && b) << text;
      EXPECT_TRUE(equal(*a, *b)) << group[0] << " and " << text;
    }
    EXPECT_TRUE(equal(numbers_in(group[0])[0], numbers_in(group.back()).back())) << group[0];
  }
  for (size_t i = 0; i < same.size(); ++i) {
    for (size_t j = 0; j < same.size(); ++j) {
      EXPECT_EQ(equal(*only_number(same[i][0]), *only_number(same[j][0])), i == j) << same[i][0] << " " << same[j][0];
    }
  }
}

TEST(Numbers, WhatIsNoNumberOrSeveral) {
  for (const char* text : {"", "abc", "x2", "H2O", "m^2", "1,23", "1,2345", "3/4/2020", "5 or 6", "1.2.3", "10-5", "-",
                           "1/0", "\\frac{1}{0}", "\\frac{a}{2}{3}", "1e99999999999", "e5", "/2 3"}) {
    EXPECT_FALSE(only_number(text)) << text;
  }
  EXPECT_EQ(numbers_in("10-5").size(), 2u);
  EXPECT_FALSE(numbers_in("10-5")[1].is_negative);
  EXPECT_FALSE(equal(*only_number("0.333"), *only_number("1/3")));
  EXPECT_TRUE(equal(*only_number("2/6"), *only_number("1/3")));
  EXPECT_FALSE(equal(*only_number("5"), *only_number("-5")));
  EXPECT_FALSE(equal(*only_number("50%"), *only_number("0.5")));
  EXPECT_TRUE(is_number("1,234"));
  EXPECT_TRUE(is_number("\\frac{3}{4}"));
  EXPECT_TRUE(is_number("-1.5e3"));
  EXPECT_FALSE(is_number("72 apples"));
  EXPECT_FALSE(is_number("72개"));
  EXPECT_FALSE(is_number("e"));
  EXPECT_FALSE(is_number("1 2"));
}

// A number longer than any, and text made of its pieces, in time linear in it.
TEST(Numbers, HostileTextsEnd) {
  std::string digits(1 << 20, '7');
  EXPECT_TRUE(numbers_in(digits).empty());
  std::string longest(static_cast<size_t>(kNumberDigitsMax), '7');
  EXPECT_TRUE(equal(*only_number(longest), *only_number(longest + ".0")));
  for (const std::string piece : {"\\frac{", "1/", "1,", "1e", "-", "*10^", "\xEF\xBC", "\\frac{1}{", ".", "^{"}) {
    std::string text;
    while (text.size() < (size_t{1} << 20)) text += piece;
    (void)numbers_in(text);
    (void)count_words(text);
    (void)boxed(text);
  }
}

TEST(Answers, PlacesInThreeLanguages) {
  struct Case {
    const char *text, *wanted, *find, *compare;
    bool is_right;
  };
  const std::vector<Case> cases = {{" 72 \n", "72", "whole", "text", true},
                                   {"72 ", "72.0", "whole", "text", false},
                                   {"72 ", "72.0", "whole", "", true},
                                   {"It is 72.", "72", "whole", "number", true},
                                   {"It is 72 or 73.", "72", "whole", "number", false},
                                   {"steps\n\n서울\n\n", "서울", "last_line", "", true},
                                   {"서울이다\n", "서울", "last_line", "", false},
                                   {"12 + 60\n따라서 12 + 60 = 72개", "72", "last_line", "", true},
                                   {"12 + 60 = 72\n다음", "72", "last_line", "", false},
                                   {"so \\boxed{72}", "72", "boxed", "", true},
                                   {"so \\boxed{71} no, \\boxed{72}", "72", "boxed", "", true},
                                   {"so \\boxed{72} no, \\boxed{71}", "72", "boxed", "", false},
                                   {"\\boxed{\\frac{1}{2}}", "0.5", "boxed", "", true},
                                   {"\\boxed{\\text{(B)}}", "(B)", "boxed", "", true},
                                   {"\\boxed{{北京}}", "{北京}", "boxed", "", true},
                                   {"\\boxed{72", "72", "boxed", "", false},
                                   {"\\boxed{72", "72", "", "", true},  // cut off in its box: the last number
                                   {"72", "72", "boxed", "", false},
                                   {"48 + 24 = <<48+24=72>>72\n#### 72", "72", "mark", "", true},
                                   {"#### 71\n#### 72\n", "72", "mark", "", true},
                                   {"#### 72\nthat is 5", "72", "mark", "", true},
                                   {"72", "72", "mark", "", false},
                                   {"#### 1,072", "steps\n#### 1072", "mark", "", true},
                                   {"所以答案是七十二，即 72。", "72", "number", "", true},
                                   {"답은 72개입니다. 사과 3개", "72", "number", "", false},
                                   {"答案是 72 个。", "72", "", "", true},
                                   {"답: 서울", "서울", "", "", false},
                                   {"생각...\n서울", "서울", "", "", true},
                                   {"\\boxed{北京}", "... \\boxed{北京}", "", "", true},
                                   {"#### Paris", "Paris", "", "", true},
                                   {"", "", "whole", "text", false},
                                   {"", "72", "", "", false}};
  for (const Case& one : cases) {
    EXPECT_EQ(is_answer(one.text, one.wanted, answer_place(one.find), comparison(one.compare)), one.is_right)
        << one.text << " | " << one.wanted << " | " << one.find << " " << one.compare;
  }
}

TEST(ReasoningForm, OnceOpenedOnceClosedAnAnswerBehind) {
  const auto kept = [](const char* text, bool begins = false) { return reasoning_form(text, "think", begins).is_kept; };
  EXPECT_TRUE(kept("<think>a</think>b"));
  EXPECT_TRUE(kept("\n <think></think>\n答案"));
  for (const char* text : {"", "b", "a<think>b</think>c", "<think>a</think>", "<think>a</think> \n", "<think>a",
                           "<think><think>a</think>b", "<think>a</think></think>b", "</think>b", "<think>a</THINK>b",
                           "</think>a<think>b"}) {
    EXPECT_FALSE(kept(text)) << text;
  }
  // The prompt has opened it.
  EXPECT_TRUE(kept("a</think>b", true));
  EXPECT_FALSE(kept("<think>a</think>b", true));
  EXPECT_FALSE(kept("a", true));
  EXPECT_EQ(reasoning_form("<think>1</think> 2", "think", false).answer, " 2");
  EXPECT_EQ(reasoning_form("1 2", "think", false).answer, "1 2");
  EXPECT_TRUE(reasoning_form("<생각>a</생각>b", "생각", false).is_kept);
}

TEST(Languages, WordsByScript) {
  const auto counts = [](const char* text) {
    const WordCounts n = count_words(text);
    return std::vector<double>{n.english, n.korean, n.chinese, n.other};
  };
  using V = std::vector<double>;
  EXPECT_EQ(counts("The cat doesn't count 3 apples"), (V{5, 0, 0, 0}));
  EXPECT_EQ(counts("사과가 세 개 있습니다."), (V{0, 4, 0, 0}));
  EXPECT_EQ(counts("小明有苹果。"), (V{0, 0, 2.5, 0}));
  EXPECT_EQ(counts("привет мир かな"), (V{0, 0, 0, 3}));
  // Numbers, formulas, code, tags, single letters, letters with digits.
  EXPECT_EQ(
      counts("12 $x + sin y$ \\(alpha\\) \\[beta\\] $$gamma$$ `code` ```more code``` <think> x2 3kg x \\frac{1}{2}"),
      (V{0, 0, 0, 0}));
  EXPECT_EQ(counts("I have a dog"), (V{4, 0, 0, 0}));
  EXPECT_EQ(counts("It costs $5 more\nthan $3 before"), (V{5, 0, 0, 0}));
  EXPECT_EQ(counts("3개 1월"), (V{0, 2, 0, 0}));
  EXPECT_EQ(counts("a < b and b > a"), (V{3, 0, 0, 0}));  // no tag; b alone is a variable
  EXPECT_EQ(counts("\xff\xfe"), (V{0, 0, 0, 0}));
  EXPECT_EQ(language_of("How many apples?"), data::Language::kEnglish);
  EXPECT_EQ(language_of("사과는 몇 개? apple"), data::Language::kKorean);
  EXPECT_EQ(language_of("小明有几个苹果？"), data::Language::kChinese);
  EXPECT_EQ(language_of("Сколько яблок?"), std::nullopt);
  EXPECT_EQ(language_of("1 + 1 ="), std::nullopt);
  EXPECT_EQ(language_share("How many?", "Four 사과 and more"), 0.75);
  EXPECT_EQ(language_share("몇 개?", "사과 세 개 and 个个"), 0.6);
  EXPECT_EQ(language_share("几个？", "四个 四个"), 1);
  EXPECT_EQ(language_share("几个？", "four"), 0);
  EXPECT_EQ(language_share("1 + 1 =", "four"), 1);
  EXPECT_EQ(language_share("How many?", "42"), 1);
}

recipes::RewardRecipe reward(const std::string& kind, const std::string& name = "", double weight = 1) {
  recipes::RewardRecipe one;
  one.kind = kind;
  one.name = name;
  one.weight = weight;
  return one;
}

data::Problem line_problem(const std::string& prompt, const std::string& answer) {
  data::Problem problem;
  problem.key = "problems.jsonl:1";
  problem.prompt = problem.text_prompt = prompt;
  problem.answer_text = answer;
  problem.line = "{\"prompt\": \"" + prompt + "\"}";
  return problem;
}

TEST(Judge, PartsAreSummedWithTheirWeights) {
  JudgeOptions options{.max_tokens = 100};
  options.rewards = {reward("answer"), reward("format", "", 0.5), reward("language", "same", 0.25),
                     reward("length", "", 2), reward("answer", "strict", 0)};
  options.rewards[3].tokens = 50;
  options.rewards[4].strict = true;
  Judge judge = Judge::open(options).value();
  EXPECT_EQ(judge.names(), (std::vector<std::string>{"answer", "format", "same", "length", "strict"}));
  const data::Problem problem = line_problem("How many apples are there?", "72");
  const auto judged = *judge.judge({{.problem = &problem, .answer = "<think>think 몇</think>\n72", .n_tokens = 75},
                                    {.problem = &problem, .answer = "so <think>a</think>\n72", .n_tokens = 10},
                                    {.problem = &problem, .answer = "<think>72</think>\n71", .n_tokens = 100},
                                    {.problem = &problem, .answer = "it is</think> 72", .begins_in_reasoning = true}});
  EXPECT_EQ(judged[0].parts, (std::vector<double>{1, 1, 0.5, -0.5, 1}));
  EXPECT_EQ(judged[0].reward, 1 + 0.5 + 0.125 - 1);
  EXPECT_TRUE(judged[0].is_right);
  EXPECT_EQ(judged[1].parts, (std::vector<double>{1, 0, 1, 0, 0}));
  EXPECT_EQ(judged[2].parts, (std::vector<double>{0, 1, 1, -1, 0}));
  EXPECT_FALSE(judged[2].is_right);
  EXPECT_EQ(judged[3].parts, (std::vector<double>{1, 1, 1, 0, 1}));
}

// Without [[reward]]: the verifier of a generator, and the soft bound on length.
TEST(Judge, WithoutRewardsTheAnswerCounts) {
  Judge judge = Judge::open({.rewards = {}, .max_tokens = 40, .soft_tokens = 10, .folder = {}}).value();
  EXPECT_EQ(judge.names(), (std::vector<std::string>{"answer", "length"}));
  const data::Problem made = data::make_problem({.generator = data::Generator::kCountdown}, 1, 0, data::Split::kTrain);
  const data::Problem own = line_problem("2 + 2?", "4");
  const std::string thought = "<think>" + made.solution + "</think>" + made.solution;
  const auto judged = *judge.judge({{.problem = &made, .answer = made.solution, .n_tokens = 30},
                                    {.problem = &made, .answer = thought, .n_tokens = 35},
                                    {.problem = &made, .answer = "1", .n_tokens = 40},
                                    {.problem = &own, .answer = "It is \\boxed{4}", .n_tokens = 3}});
  EXPECT_EQ(judged[0].parts, (std::vector<double>{1, 0}));
  EXPECT_EQ(judged[1].parts, (std::vector<double>{1, -0.5}));
  EXPECT_EQ(judged[2].parts, (std::vector<double>{0, -1}));
  EXPECT_EQ(judged[2].reward, -1);
  EXPECT_TRUE(judged[3].is_right);
  EXPECT_EQ(*judge.are_right({{.problem = &own, .answer = "5"}, {.problem = &own, .answer = "4"}}),
            (std::vector<bool>{false, true}));
}

}  // namespace
}  // namespace naru::rewards
