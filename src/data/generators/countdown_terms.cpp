#include "data/generators/countdown_terms.h"

#include <fmt/format.h>

namespace naru::data {
namespace {

constexpr int64_t kStepMax = 400;  // results on the way

}  // namespace

Term number_term(int64_t number) {
  return {number, fmt::format("{}", number), 3};
}

std::optional<Term> combine(const Term& a, const Term& b, char op) {
  Term result;
  result.rank = op == '+' || op == '-' ? 1 : 2;
  switch (op) {
    case '+': result.value = a.value + b.value; break;
    case '-': result.value = a.value - b.value; break;
    case '*': result.value = a.value * b.value; break;
    default:
      if (a.value % b.value != 0) return std::nullopt;
      result.value = a.value / b.value;
  }
  if (result.value < 1 || result.value > kStepMax) return std::nullopt;
  const bool left = a.rank < result.rank;
  const bool right = b.rank < result.rank || (b.rank == result.rank && (op == '-' || op == '/'));
  result.text = fmt::format("{}{}{} {} {}{}{}", left ? "(" : "", a.text, left ? ")" : "", op, right ? "(" : "", b.text,
                            right ? ")" : "");
  return result;
}

}  // namespace naru::data
