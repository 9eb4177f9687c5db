// Chains of digits: the sum of eight digits modulo 10. A long solution writes all partial sums, the last of which is
// the answer; a short one only that. The smallest problem on which thinking step by step visibly pays.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/ascii.h"
#include "data/generators/kinds.h"

namespace naru::data {
namespace {

constexpr int kChainDigits = 8;

}  // namespace

Problem draw_digits(Draws& draws, bool has_steps) {
  Problem problem;
  problem.generator = Generator::kDigits;
  problem.has_steps = has_steps;
  std::vector<int64_t> sums;
  for (int i = 0; i < kChainDigits; ++i) {
    problem.numbers.push_back(draws.between(0, 9));
    problem.answer = (problem.answer + problem.numbers.back()) % 10;
    sums.push_back(problem.answer);
  }
  const std::string chain = fmt::format("{}", fmt::join(problem.numbers, " "));
  problem.key = "digits " + chain;
  problem.prompt = "Add these digits, keeping only the last digit of each sum: " + chain;
  problem.text_prompt = chain + " =";
  problem.solution = has_steps ? fmt::format("{}", fmt::join(sums, " ")) : fmt::format("{}", problem.answer);
  return problem;
}

Verdict verify_digits(const Problem& problem, std::string_view answer) {
  const std::string_view text = trimmed(answer);
  if (text.empty()) return {false, "there is no answer"};
  for (const char c : text) {
    if (!is_ascii_digit(c) && c != ' ') return {false, "the answer has more than digits and spaces"};
  }
  const int64_t found = text.back() - '0';
  if (found != problem.answer)
    return {false, fmt::format("the last digit is {}, {} was wanted", found, problem.answer)};
  return {true, ""};
}

}  // namespace naru::data
