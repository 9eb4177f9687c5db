// What countdown is made of: numbers joined by + - * / into terms that stay whole and fair.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace naru::data {

struct Term {
  int64_t value = 0;
  std::string text;
  int rank = 3;  // how tightly it is bound: 1 sum, 2 product, 3 number
};

Term number_term(int64_t number);
// `a op b` with the parentheses that it needs; nothing where it is no whole number from 1 to 400.
std::optional<Term> combine(const Term& a, const Term& b, char op);

}  // namespace naru::data
