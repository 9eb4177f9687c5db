// Numbers between bounds, as rules over their digits: without an exponent, and with 40 digits on either side of the
// point at most.
#pragma once

#include <optional>
#include <string>

#include "base/result.h"
#include "text/forms/grammar.h"
#include "text/forms/multiples.h"
#include "text/forms/regex.h"
#include "text/value.h"

namespace naru::text {

// A decimal number: digits before the point (at least one, no leading zero but of "0") and behind it (no trailing one).
struct Decimal {
  bool is_negative = false;
  std::string whole = "0";
  std::string fraction;
  bool is_zero() const { return whole == "0" && fraction.empty(); }
};

struct NumberBound {
  Decimal value;
  bool is_exclusive = false;
};

struct NumberBounds {
  std::optional<NumberBound> low, high;
  std::optional<Multiple> multiple;
};

// Nothing where it is no number, or has more than 18 digits on a side of its point.
std::optional<Decimal> decimal_of(const Value& value);
// -1, 0, 1
int compare(const Decimal& a, const Decimal& b);

void add_integers_between(GrammarBuilder& builder, NodeId from, const NumberBounds& bounds, NodeId to);
void add_numbers_between(GrammarBuilder& builder, NodeId from, const NumberBounds& bounds, NodeId to);
// Where they are multiples of something, as texts. kResourceExhausted.
Result<RegexAutomaton> multiples_between(GrammarBuilder& builder, const NumberBounds& bounds, bool are_integers);

}  // namespace naru::text
