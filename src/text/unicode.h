// Classes of code points as the official tokenizers' engines see them, from our own generated tables: token ids must
// not change with the Unicode version of the machine or of a library. Every flag was measured on the library itself
// (tools/unicode/make_unicode_tables.py says how).
#pragma once

#include <cstdint>

#include "text/generated/unicode_tables.h"

namespace naru::text {

enum CharFlag : uint16_t {
  kLetter = 1 << 0,       // \p{L}
  kMark = 1 << 1,         // \p{M}
  kNumber = 1 << 2,       // \p{N}
  kPunctuation = 1 << 3,  // \p{P}
  kSymbol = 1 << 4,       // \p{S}
  kSpace = 1 << 5,        // \s
  kDigit = 1 << 6,        // the Digits pre-tokenizer's numeric characters
  kWord = 1 << 7,         // word characters beside an added token with single_word
  kStrip = 1 << 8,        // white space beside an added token with lstrip or rstrip
  kNfcSafe = 1 << 9,      // stable under NFC, and nothing before it can interact with it
  kUpper = 1 << 10,       // \p{Lu}
  kLower = 1 << 11,       // \p{Ll}
};

inline constexpr uint32_t kCodePointMax = 0x10FFFF;
inline constexpr uint32_t kReplacement = 0xFFFD;

// `c` must be at most kCodePointMax.
inline const generated::UnicodeRecord& unicode_record(uint32_t c) {
  const uint32_t block = generated::kBlockOfCodePoint[c >> 7];
  return generated::kRecords[generated::kRecordOfCodePoint[(block << 7) | (c & 0x7f)]];
}
inline uint16_t char_flags(uint32_t c) {
  return unicode_record(c).flags;
}

}  // namespace naru::text
