// Numbers as people and models write them, compared exactly: as fractions of decimals, never as doubles.
//
// One number is digits with an optional sign (+, -, U+2212), decimal point and exponent: 1234, -0.5, .5, 1e3;
// thousands in groups of three, 1,234,567 (1{,}234 in LaTeX); a fraction of two such, 3/4 or \frac{3}{4}; a factor of a
// power of ten, 1.5 \times 10^{3} or 1.5×10^3; full-width digits; and a word that scales it: 만 억 천, 万 亿 千,
// thousand, million, billion, trillion. Currencies, units and % around it are no part of it: 50 % is 50. Digits of a
// name (x2) and of a unit's power (m^2) are no number.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace naru::rewards {

// (-1)^is_negative * digits * 10^exponent / divisor; digits and divisor without zeros at either end, zero has none.
struct Number {
  bool is_negative = false;
  std::string digits;
  int64_t exponent = 0;
  std::string divisor = "1";
};
bool equal(const Number& a, const Number& b);

// All numbers of a text of any bytes, in their order; time linear in it. One of more than kNumberDigitsMax digits, or
// whose exponent is out of all reason, is left out.
std::vector<Number> numbers_in(std::string_view text);

// The number of a text that has exactly one, whatever words stand around it.
std::optional<Number> only_number(std::string_view text);
// The same where nothing but signs stands around it: no letters.
bool is_number(std::string_view text);

inline constexpr int64_t kNumberDigitsMax = 200;

}  // namespace naru::rewards
