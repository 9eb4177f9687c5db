// Countdown: reach a target from three or four numbers with + - * /, each number used exactly once. A short solution is
// the expression; a long one writes its steps first, then "####" and the expression; one with thought is a search
// (countdown_search.h) in <think> ... </think>, then the expression.
//
// The verifier computes with exact fractions; it reads at most kExpressionBytesMax bytes and kExpressionDepthMax
// parentheses inside each other.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <numeric>

#include "base/checked.h"
#include "data/generators/countdown_search.h"
#include "data/generators/kinds.h"

namespace naru::data {
namespace {

constexpr int64_t kNumberMax = 20;  // of a problem
constexpr int64_t kTargetMax = 100;
constexpr int64_t kExpressionBytesMax = 512;
constexpr int kExpressionDepthMax = 32;
constexpr int64_t kOperandMax = 1000000;

// An expression of all terms, and how it came about.
struct Joined {
  Term term;
  std::vector<std::string> steps;
  std::string first;             // step, without spaces
  std::vector<Term> from_first;  // the terms there were then
};

// Joins two of the terms at random until one is left; nothing where that comes to no fair number.
std::optional<Joined> random_expression(Draws& draws, std::vector<Term> terms) {
  Joined result;
  while (terms.size() > 1) {
    const auto take = [&] {
      const auto i = draws.between(0, static_cast<int64_t>(terms.size()) - 1);
      Term term = std::move(terms[static_cast<size_t>(i)]);
      terms.erase(terms.begin() + i);
      return term;
    };
    const Term a = take(), b = take();
    const char op = "+-*/"[draws.between(0, 3)];
    auto joined = combine(a, b, op);
    if (!joined) return std::nullopt;
    result.steps.push_back(fmt::format("{} {} {} = {}", a.value, op, b.value, joined->value));
    terms.push_back(*std::move(joined));
    if (result.steps.size() > 1) continue;
    result.first = fmt::format("{}{}{}={}", a.value, op, b.value, terms.back().value);
    result.from_first = terms;
  }
  result.term = terms.front();
  return result;
}

// The search and its answer; nothing where it finds none.
std::optional<std::string> thought(const std::vector<Term>& numbers, const Joined& joined, Draws& draws) {
  const bool is_joined = numbers.size() > 3;
  const auto search = search_three(is_joined ? joined.from_first : numbers, joined.term.value, draws);
  if (!search) return std::nullopt;
  return fmt::format("<think>{}{}{}</think>\n{}", is_joined ? joined.first : "", is_joined ? "\n" : "", search->trace,
                     search->found.text);
}

// The question of a conversation.
std::string countdown_question(Language language, int64_t target, const std::string& numbers) {
  switch (language) {
    case Language::kKorean: {
      const int64_t last = target % 10;
      const bool ends_in_vowel = last == 2 || last == 4 || last == 5 || last == 9;  // as it is read: 이, 사, 오, 구
      return fmt::format("다음 수를 한 번씩만 쓰고 + - * / 와 괄호로 {}{} 만드세요: {}", target,
                         ends_in_vowel ? "를" : "을", numbers);
    }
    case Language::kChinese: return fmt::format("用 + - * / 和括号算出{}，每个数只用一次：{}", target, numbers);
    case Language::kEnglish:
    case Language::kAll: break;
  }
  return fmt::format("Make {} from the numbers {} with + - * / and parentheses. Use each number once.", target,
                     numbers);
}

struct Fraction {
  int64_t over = 0;
  int64_t under = 1;  // > 0
};

std::optional<Fraction> reduced(std::optional<int64_t> over, std::optional<int64_t> under) {
  if (!over || !under || *under == 0 || *over == INT64_MIN || *under == INT64_MIN) return std::nullopt;
  const int64_t divisor = std::gcd(*over, *under) * (*under < 0 ? -1 : 1);
  return Fraction{*over / divisor, *under / divisor};
}

std::optional<Fraction> apply(const Fraction& a, const Fraction& b, char op) {
  if (op == '*' || op == '/') {
    const Fraction c = op == '*' ? b : Fraction{b.under, b.over};
    return reduced(checked_mul(a.over, c.over), checked_mul(a.under, c.under));
  }
  const auto left = checked_mul(a.over, b.under), right = checked_mul(b.over, a.under);
  if (!left || !right) return std::nullopt;
  return reduced(op == '+' ? checked_add(*left, *right) : checked_sub(*left, *right), checked_mul(a.under, b.under));
}

// sum = product {(+ -) product}; product = factor {(* /) factor}; factor = number | ( sum )
class ExpressionReader {
 public:
  explicit ExpressionReader(std::string_view text) : text_(text) {}

  // The value, or nothing with `reason`.
  std::optional<Fraction> read() {
    auto value = sum(0);
    skip_spaces();
    if (value && at_ < text_.size()) return fail("something that is no part of an expression stands in it");
    return value;
  }

  std::vector<int64_t> numbers;  // used, in order
  std::string reason;

 private:
  std::nullopt_t fail(std::string_view why) {
    if (reason.empty()) reason = why;
    return std::nullopt;
  }
  void skip_spaces() {
    while (at_ < text_.size() && text_[at_] == ' ') ++at_;
  }
  // The next character where it is one of `wanted`, taken; 0 where it is not.
  char take(std::string_view wanted) {
    skip_spaces();
    if (at_ >= text_.size() || wanted.find(text_[at_]) == std::string_view::npos) return 0;
    return text_[at_++];
  }

  std::optional<Fraction> chain(int depth, std::string_view ops) {
    const bool is_sum = ops == "+-";
    auto value = is_sum ? chain(depth, "*/") : factor(depth);
    while (value) {
      const char op = take(ops);
      if (op == 0) break;
      const auto next = is_sum ? chain(depth, "*/") : factor(depth);
      if (!next) return std::nullopt;
      if (op == '/' && next->over == 0) return fail("it divides by zero");
      value = apply(*value, *next, op);
      if (!value) return fail("its numbers grow too large");
    }
    return value;
  }
  std::optional<Fraction> sum(int depth) { return chain(depth, "+-"); }

  std::optional<Fraction> factor(int depth) {
    if (depth > kExpressionDepthMax) return fail("it has too many parentheses inside each other");
    if (take("(") != 0) {
      const auto value = sum(depth + 1);
      if (value && take(")") == 0) return fail("a parenthesis is not closed");
      return value;
    }
    skip_spaces();
    int64_t number = 0;
    const size_t begin = at_;
    for (; at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9'; ++at_) {
      number = number * 10 + (text_[at_] - '0');
      if (number > kOperandMax) return fail("a number in it is too large");
    }
    if (at_ == begin) return fail("a number is missing in it");
    numbers.push_back(number);
    return Fraction{number, 1};
  }

  std::string_view text_;
  size_t at_ = 0;
};

std::vector<int64_t> sorted(std::vector<int64_t> numbers) {
  std::sort(numbers.begin(), numbers.end());
  return numbers;
}

}  // namespace

Problem draw_countdown(Draws& draws, const GeneratorOptions& options, bool has_steps) {
  while (true) {
    Problem problem;
    std::vector<Term> terms;
    for (auto n = options.numbers > 0 ? options.numbers : draws.between(3, 4); n > 0; --n) {
      problem.numbers.push_back(draws.between(1, kNumberMax));
      terms.push_back(number_term(problem.numbers.back()));
    }
    const auto joined = random_expression(draws, terms);
    if (!joined || joined->term.value > kTargetMax) continue;
    const Language language = drawn_language(draws, options.language);
    problem.generator = Generator::kCountdown;
    problem.has_steps = has_steps;
    problem.answer = joined->term.value;
    const std::string numbers = fmt::format("{}", fmt::join(problem.numbers, " "));
    problem.key = fmt::format("countdown {} -> {}", fmt::join(sorted(problem.numbers), " "), problem.answer);
    problem.prompt = countdown_question(language, problem.answer, numbers);
    problem.text_prompt = fmt::format("{} -> {}:", numbers, problem.answer);
    problem.solution = joined->term.text;
    if (options.trace == Trace::kThink) {
      auto solution = thought(terms, *joined, draws);
      if (!solution) continue;
      problem.solution = *std::move(solution);
    } else if (has_steps) {
      problem.solution = fmt::format("{} #### {}", fmt::join(joined->steps, "; "), joined->term.text);
    }
    return problem;
  }
}

Verdict verify_countdown(const Problem& problem, std::string_view answer) {
  const std::string_view text = behind_mark(answer).value_or(trimmed(answer));
  if (text.empty()) return {false, "there is no expression"};
  if (static_cast<int64_t>(text.size()) > kExpressionBytesMax) return {false, "the expression is too long"};
  ExpressionReader reader(text);
  const auto value = reader.read();
  if (!value) return {false, "the expression cannot be computed: " + reader.reason};
  if (sorted(reader.numbers) != sorted(problem.numbers)) return {false, "it does not use each number once"};
  if (value->under != 1 || value->over != problem.answer) {
    return {false, fmt::format("the expression gives {}{}, {} was wanted", value->over,
                               value->under == 1 ? "" : fmt::format("/{}", value->under), problem.answer)};
  }
  return {true, ""};
}

}  // namespace naru::data
