#include "text/forms/characters.h"

#include <algorithm>
#include <array>

#include "text/utf8.h"

namespace naru::text {
namespace {

constexpr std::string_view kShortEscapes = "\b\f\n\r\t";
constexpr std::string_view kShortLetters = "bfnrt";

// One sequence of byte ranges: the characters low to high, whose encodings have one length and differ by whole ranges.
void add_sequence(GrammarBuilder& builder, NodeId from, uint32_t low, uint32_t high, NodeId to) {
  std::string first, last;
  append_utf8(low, first);
  append_utf8(high, last);
  for (size_t i = first.size(); i-- > 0;) {
    const auto a = static_cast<unsigned char>(first[i]), b = static_cast<unsigned char>(last[i]);
    if (i == 0) {
      builder.add_range(from, a, b, to);
    } else {
      to = builder.shared_tail(a, b, to);
    }
  }
}

// Characters whose encodings have one length: cut where a byte's range would not be whole.
void add_of_length(GrammarBuilder& builder, NodeId from, uint32_t low, uint32_t high, int length, NodeId to) {
  for (int i = 1; i < length; ++i) {
    const uint32_t mask = (uint32_t{1} << (6 * i)) - 1;
    if ((low & ~mask) == (high & ~mask)) continue;
    if ((low & mask) != 0) {
      add_of_length(builder, from, low, low | mask, length, to);
      return add_of_length(builder, from, (low | mask) + 1, high, length, to);
    }
    if ((high & mask) != mask) {
      add_of_length(builder, from, low, (high & ~mask) - 1, length, to);
      return add_of_length(builder, from, high & ~mask, high, length, to);
    }
  }
  add_sequence(builder, from, low, high, to);
}

void add_plain(GrammarBuilder& builder, NodeId from, uint32_t low, uint32_t high, NodeId to) {
  struct Part {
    uint32_t low, high;
    int length;
  };
  constexpr std::array<Part, 5> kParts = {
      {{0, 0x7F, 1}, {0x80, 0x7FF, 2}, {0x800, 0xD7FF, 3}, {0xE000, 0xFFFF, 3}, {0x10000, kLastCharacter, 4}}};
  for (const Part& part : kParts) {
    const uint32_t a = std::max(low, part.low), b = std::min(high, part.high);
    if (a <= b) add_of_length(builder, from, a, b, part.length, to);
  }
}

NodeId shared_hex_digit(GrammarBuilder& builder, uint32_t digit, NodeId to) {
  if (digit >= 10) return builder.shared_letter(static_cast<char>('a' + digit - 10), to);
  const auto symbol = static_cast<FormSymbol>('0' + digit);
  return builder.shared_tail(symbol, symbol, to);
}

// A character that stands in no JSON string as it is.
void add_escape(GrammarBuilder& builder, NodeId from, uint32_t character, NodeId to) {
  const size_t at = kShortEscapes.find(static_cast<char>(character));
  if (character == '"' || character == '\\' || at != std::string_view::npos) {
    const auto letter =
        static_cast<unsigned char>(at == std::string_view::npos ? static_cast<char>(character) : kShortLetters[at]);
    return builder.add_byte(from, '\\', builder.shared_tail(letter, letter, to));
  }
  const NodeId last = shared_hex_digit(builder, character & 15, to);
  NodeId node = builder.shared_tail('0' + (character >> 4), '0' + (character >> 4), last);
  for (const char c : {'0', '0', 'u'})
    node = builder.shared_tail(static_cast<FormSymbol>(c), static_cast<FormSymbol>(c), node);
  builder.add_byte(from, '\\', node);
}

}  // namespace

void add_characters(GrammarBuilder& builder, NodeId from, CharacterRange range, Spelling spelling, NodeId to) {
  if (spelling == Spelling::kText) return add_plain(builder, from, range.low, range.high, to);
  uint32_t low = range.low;
  for (; low <= range.high && low < 0x20; ++low) add_escape(builder, from, low, to);
  for (const uint32_t special : {uint32_t{'"'}, uint32_t{'\\'}}) {
    if (special < low || special > range.high) continue;
    if (low < special) add_plain(builder, from, low, special - 1, to);
    add_escape(builder, from, special, to);
    low = special + 1;
  }
  if (low <= range.high) add_plain(builder, from, low, range.high, to);
}

std::vector<uint32_t> characters_of(std::string_view text) {
  std::vector<uint32_t> characters;
  for (size_t i = 0; i < text.size();) {
    const CodePoint c = code_point_at(text.data() + i);
    characters.push_back(c.value);
    i += c.bytes;
  }
  return characters;
}

std::string spelt(std::string_view text, Spelling spelling) {
  if (spelling == Spelling::kText) return std::string(text);
  constexpr std::string_view kHexDigits = "0123456789abcdef";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const size_t at = kShortEscapes.find(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (at != std::string_view::npos) {
      out += '\\';
      out += kShortLetters[at];
    } else if (byte < 0x20) {
      out += "\\u00";
      out += kHexDigits[byte >> 4];
      out += kHexDigits[byte & 15];
    } else {
      out += c;
    }
  }
  return out;
}

std::vector<CharacterRange> merged_ranges(std::vector<CharacterRange> ranges) {
  std::sort(ranges.begin(), ranges.end(),
            [](const CharacterRange& a, const CharacterRange& b) { return a.low < b.low; });
  std::vector<CharacterRange> merged;
  for (const CharacterRange& range : ranges) {
    if (!merged.empty() && range.low <= merged.back().high + 1) {
      merged.back().high = std::max(merged.back().high, range.high);
    } else {
      merged.push_back(range);
    }
  }
  return merged;
}

std::vector<CharacterRange> other_characters(const std::vector<CharacterRange>& merged) {
  std::vector<CharacterRange> others;
  uint32_t next = 0;
  for (const CharacterRange& range : merged) {
    if (next < range.low) others.push_back({next, range.low - 1});
    next = range.high + 1;
  }
  if (next <= kLastCharacter) others.push_back({next, kLastCharacter});
  return others;
}

}  // namespace naru::text
