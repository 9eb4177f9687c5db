// Regular expressions, as JSON schemas have them (ECMA-262 with its u flag), as far as they are regular: characters,
// ., classes, \d \w \s and their opposites (of ASCII), escapes of characters, groups, alternatives, * + ? {n} {n,}
// {n,m} (lazy ones are the same language), and ^ $ at the ends of the whole or of an alternative. No look around, no
// back references, no \b, no \p, no flags: Code::kUnsupported, with the place.
//
// . is any character but line ends (\n, \r, U+2028, U+2029).
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "text/forms/characters.h"

namespace naru::text {

inline constexpr size_t kRegexBytesMax = 16 << 10;
inline constexpr uint32_t kRegexRepeatMax = 4096;
inline constexpr size_t kRegexStatesMax = 1 << 16;

// An automaton over characters without output; state 0 is its start.
struct RegexAutomaton {
  struct State {
    std::vector<std::pair<CharacterRange, uint32_t>> edges;
    std::vector<uint32_t> jumps;
    bool is_final = false;
  };
  std::vector<State> states;
};

enum class RegexMatch : uint8_t {
  kWhole,     // the whole text
  kAnywhere,  // somewhere in the text, unless ^ and $ say more: JSON schema's pattern
};

// Messages are without their first part, and name the place as "at byte N".
// `builder`: whose work it is.
Result<RegexAutomaton> parse_regex(std::string_view regex, RegexMatch match, GrammarBuilder* builder = nullptr);

// What both take. kResourceExhausted past kRegexStatesMax.
Result<RegexAutomaton> intersection(const RegexAutomaton& a, const RegexAutomaton& b, GrammarBuilder& builder);

// Adds its language between two nodes. Bounds are of characters.
struct LengthBounds {
  uint64_t min = 0;
  std::optional<uint64_t> max;
};
void add_regex(GrammarBuilder& builder, NodeId from, const RegexAutomaton& automaton, const LengthBounds& bounds,
               Spelling spelling, NodeId to);

}  // namespace naru::text
