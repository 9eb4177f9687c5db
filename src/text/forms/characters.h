// Ranges of characters as edges over bytes: UTF-8, as text or inside a JSON string.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "text/forms/grammar.h"

namespace naru::text {

struct CharacterRange {
  uint32_t low, high;  // code points; those of surrogates are no characters and left out
};

inline constexpr uint32_t kLastCharacter = 0x10FFFF;

enum class Spelling : uint8_t {
  kText,
  // Between the quotes of a JSON string, each character in one way: escaped where it must be (\n and its like in
  // their short form, other control characters as \u00XX), else as it is. So texts are equal where their bytes are.
  kJson,
};

void add_characters(GrammarBuilder& builder, NodeId from, CharacterRange range, Spelling spelling, NodeId to);

// The characters of valid UTF-8.
std::vector<uint32_t> characters_of(std::string_view text);

// The text, which is valid UTF-8, in that spelling.
std::string spelt(std::string_view text, Spelling spelling);

// Sorted, none touching another.
std::vector<CharacterRange> merged_ranges(std::vector<CharacterRange> ranges);
// All other characters.
std::vector<CharacterRange> other_characters(const std::vector<CharacterRange>& merged);

}  // namespace naru::text
