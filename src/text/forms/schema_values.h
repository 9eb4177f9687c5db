// Values of enum and const, compared as JSON Schema has it: numbers by what they are, whatever their size and spelling,
// and objects without regard to the order of keys.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "text/forms/number_rules.h"
#include "text/value.h"

namespace naru::text {

// A number exactly: 0.D1D2D3... times ten to the power of `point`, without zeros at either end of its digits.
struct ExactNumber {
  bool is_negative = false;  // never of 0
  std::string digits;        // empty: 0
  int64_t point = 0;
  bool is_integer() const { return static_cast<int64_t>(digits.size()) <= point || digits.empty(); }
};

// Nothing where it is no number.
std::optional<ExactNumber> exact_number(const Value& value);
ExactNumber exact_number(const Decimal& decimal);
// -1, 0, 1
int compare(const ExactNumber& a, const ExactNumber& b);

// Equal of equal values, and of no others.
std::string equality_key(const Value& value);

}  // namespace naru::text
