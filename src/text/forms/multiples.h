// Multiples of a decimal number, as multipleOf asks for them, exactly: an automaton over their digits.
#pragma once

#include <cstdint>
#include <optional>

#include "text/forms/grammar.h"
#include "text/forms/regex.h"
#include "text/value.h"

namespace naru::text {

// Of step / 10^scale.
struct Multiple {
  uint64_t step = 1;
  uint32_t scale = 0;
};
inline constexpr uint64_t kMultipleStatesMax = 1 << 12;  // step times (scale + 1)

// Nothing where it is no number above zero, or has too many states.
std::optional<Multiple> multiple_of(const Value& value);
// Of numbers that are multiples of both.
std::optional<Multiple> common_multiple(Multiple a, Multiple b);
// All spellings of them without an exponent and with no more digits behind the point than they need.
RegexAutomaton multiples_of(const Multiple& multiple, GrammarBuilder& builder);

}  // namespace naru::text
