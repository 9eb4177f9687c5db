// Word problems of one or two steps in English, Korean and Chinese. A long solution is its equations and the answer:
// "4 * 6 = 24; 24 - 5 = 19 #### 19"; a short one the answer alone: "#### 19"; one with thought a sentence of the
// question's language behind them: "<think>4*6=24 24-5=19</think>" and "Ruth has 19 eggs left." on the next line.
//
// A problem's key is its story and numbers: what is held out is held out under every name, for every thing and in
// every language.
#include <fmt/format.h>

#include <array>

#include "base/check.h"
#include "data/generators/kinds.h"
#include "data/generators/word_problem_texts.h"
#include "text/utf8.h"

namespace naru::data {
namespace {

constexpr int64_t kAnswerDigitsMax = 18;

struct Numbers {
  int64_t a = 0, b = 0, c = 0;
  bool has_c = false;
};

Numbers draw_numbers(Story story, Draws& draws) {
  Numbers n;
  const auto factors = [&] {
    n.a = draws.between(2, 9);
    n.b = draws.between(2, 9);
  };
  switch (story) {
    case Story::kGain:
    case Story::kMore:
    case Story::kTogether:
      n.a = draws.between(2, 20);
      n.b = draws.between(2, 20);
      break;
    case Story::kLose:
    case Story::kFewer:
      n.b = draws.between(2, 19);
      n.a = n.b + draws.between(2, 20);
      break;
    case Story::kGroups:
    case Story::kPrice: factors(); break;
    case Story::kShare:
      factors();
      n.a *= n.b;
      break;
    case Story::kChange:
      factors();
      n.c = n.a * n.b + draws.between(2, 19);
      n.has_c = true;
      break;
    case Story::kGainLose:
      n.a = draws.between(2, 20);
      n.b = draws.between(2, 20);
      n.c = draws.between(2, n.a + n.b - 2);
      n.has_c = true;
      break;
    case Story::kGroupsMore:
      factors();
      n.c = draws.between(2, 19);
      n.has_c = true;
      break;
    case Story::kGroupsLess:
      factors();
      n.c = draws.between(2, n.a * n.b - 2);
      n.has_c = true;
      break;
  }
  return n;
}

// The equations of a solution, and the last result.
struct Steps {
  std::string text, brief;
  int64_t result = 0;

  void add(int64_t x, char op, int64_t y) {
    result = op == '+' ? x + y : op == '-' ? x - y : op == '*' ? x * y : x / y;
    text += fmt::format("{}{} {} {} = {}", text.empty() ? "" : "; ", x, op, y, result);
    brief += fmt::format("{}{}{}{}={}", brief.empty() ? "" : " ", x, op, y, result);
  }
};

Steps solve(Story story, const Numbers& n) {
  Steps steps;
  switch (story) {
    case Story::kGain:
    case Story::kMore: steps.add(n.a, '+', n.b); break;
    case Story::kLose:
    case Story::kFewer: steps.add(n.a, '-', n.b); break;
    case Story::kGroups:
    case Story::kPrice: steps.add(n.a, '*', n.b); break;
    case Story::kShare: steps.add(n.a, '/', n.b); break;
    case Story::kChange:
      steps.add(n.a, '*', n.b);
      steps.add(n.c, '-', steps.result);
      break;
    case Story::kGainLose:
      steps.add(n.a, '+', n.b);
      steps.add(steps.result, '-', n.c);
      break;
    case Story::kGroupsMore:
      steps.add(n.a, '*', n.b);
      steps.add(steps.result, '+', n.c);
      break;
    case Story::kGroupsLess:
      steps.add(n.a, '*', n.b);
      steps.add(steps.result, '-', n.c);
      break;
    case Story::kTogether:
      steps.add(n.a, '+', n.b);
      steps.add(n.a, '+', steps.result);
      break;
  }
  return steps;
}

// Whether the last syllable of a Korean text ends with a consonant (Hangul syllables are laid out in 28s by it).
bool ends_with_consonant(std::string_view text) {
  const uint32_t last = text::code_point_before(text.data(), text.data() + text.size()).value;
  return last >= 0xAC00 && last <= 0xD7A3 && (last - 0xAC00) % 28 != 0;
}

// The particle named by its form after a consonant, in the form that follows `text`.
std::string_view particle(std::string_view text, std::string_view name) {
  constexpr std::array<std::array<std::string_view, 2>, 3> kForms = {{{"은", "는"}, {"이", "가"}, {"을", "를"}}};
  for (const auto& [consonant, vowel] : kForms) {
    if (name == consonant) return ends_with_consonant(text) ? consonant : vowel;
  }
  NARU_CHECK(false, name);
  return {};
}

struct Words {
  std::string a, b, c, result;  // the numbers
  std::string_view first, second;
  Thing thing;
};

std::string filled(std::string_view form, const Words& words) {
  std::string text;
  while (!form.empty()) {
    const size_t open = form.find('{');
    text += form.substr(0, open);
    if (open == std::string_view::npos) break;
    const size_t close = form.find('}', open);
    NARU_CHECK(close != std::string_view::npos, form);
    const std::string_view place = form.substr(open + 1, close - open - 1);
    std::string_view word;
    switch (place.front()) {
      case 'a': word = words.a; break;
      case 'b': word = words.b; break;
      case 'c': word = words.c; break;
      case 'A': word = words.first; break;
      case 'B': word = words.second; break;
      case 'o': word = words.thing.name; break;
      case 'm': word = words.thing.counter; break;
      case 'r': word = words.result; break;
      default: NARU_CHECK(false, place);
    }
    text += word;
    if (place.size() > 1) text += particle(word, place.substr(2));
    form.remove_prefix(close + 1);
  }
  return text;
}

const StoryTexts& texts_of(Language language) {
  switch (language) {
    case Language::kKorean: return kKoreanTexts;
    case Language::kChinese: return kChineseTexts;
    case Language::kEnglish:
    case Language::kAll: break;
  }
  return kEnglishTexts;
}

}  // namespace

Problem draw_word_problem(Draws& draws, const GeneratorOptions& options, bool has_steps) {
  const Language language = drawn_language(draws, options.language);
  const StoryTexts& texts = texts_of(language);
  const auto story = static_cast<Story>(draws.between(0, kStories - 1));
  const Numbers n = draw_numbers(story, draws);
  Words words{fmt::format("{}", n.a), fmt::format("{}", n.b), fmt::format("{}", n.c), {}, {}, {}, {}};
  words.first = draws.one_of<std::string_view>(texts.names);
  do {
    words.second = draws.one_of<std::string_view>(texts.names);
  } while (words.second == words.first);
  words.thing = draws.one_of<Thing>(texts.things);

  Problem problem;
  problem.generator = Generator::kWordProblems;
  problem.has_steps = has_steps;
  problem.numbers = {n.a, n.b};
  problem.key = fmt::format("word problem {}: {} {}", static_cast<int>(story), n.a, n.b);
  if (n.has_c) {
    problem.numbers.push_back(n.c);
    problem.key += fmt::format(" {}", n.c);
  }
  const Steps steps = solve(story, n);
  problem.answer = steps.result;
  problem.prompt = filled(texts.questions[static_cast<size_t>(story)], words);
  problem.text_prompt = fmt::format("Q: {}\nA:", problem.prompt);
  if (options.trace == Trace::kThink) {
    words.result = fmt::format("{}", steps.result);
    problem.solution =
        fmt::format("<think>{}</think>\n{}", steps.brief, filled(texts.answers[static_cast<size_t>(story)], words));
    return problem;
  }
  problem.solution =
      has_steps ? fmt::format("{} #### {}", steps.text, steps.result) : fmt::format("#### {}", steps.result);
  return problem;
}

Verdict verify_word_problem(const Problem& problem, std::string_view answer) {
  std::string_view text = answer;
  const auto marked = behind_mark(answer);
  if (marked) {
    text = *marked;
    const size_t digits = text.find_first_not_of("0123456789", text.starts_with('-') ? 1 : 0);
    if (digits != std::string_view::npos || text.empty() || text == "-") {
      return {false, "what stands behind #### is no number"};
    }
  }
  const size_t last = text.find_last_of("0123456789");
  if (last == std::string_view::npos) return {false, "there is no number in the answer"};
  size_t begin = last;
  while (begin > 0 && text[begin - 1] >= '0' && text[begin - 1] <= '9') --begin;
  if (static_cast<int64_t>(last - begin) >= kAnswerDigitsMax) return {false, "the number is too long"};
  int64_t found = 0;
  for (size_t i = begin; i <= last; ++i) found = found * 10 + (text[i] - '0');
  // A dash joins ("7-5") or negates; it negates where no digit stands before it.
  if (begin > 0 && text[begin - 1] == '-' && (begin == 1 || text[begin - 2] < '0' || text[begin - 2] > '9'))
    found = -found;
  if (begin > 1 && (text[begin - 1] == '.' || text[begin - 1] == ',') && text[begin - 2] >= '0' &&
      text[begin - 2] <= '9') {
    return {false, "the last number is no whole one"};
  }
  if (found != problem.answer) return {false, fmt::format("the answer is {}, {} was wanted", found, problem.answer)};
  return {true, ""};
}

}  // namespace naru::data
