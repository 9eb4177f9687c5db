// The shapes of the generated Unicode tables (unicode_tables.cpp, made by tools/unicode/make_unicode_tables.py).
// Two stages: block = kBlockOfCodePoint[c / 128]; record = kRecords[kRecordOfCodePoint[block * 128 + c % 128]].
#pragma once

#include <cstdint>

namespace naru::text::generated {

struct UnicodeRecord {
  uint16_t flags;           // CharFlag bits (text/unicode.h)
  uint8_t combining_class;  // 0 for a starter; else the rank of the class, which orders marks as the class does
};

struct Composition {
  uint32_t first;
  uint32_t second;
  uint32_t composed;
};

extern const uint16_t kBlockOfCodePoint[];
extern const uint8_t kRecordOfCodePoint[];
extern const UnicodeRecord kRecords[];

// Full canonical decompositions except Hangul: that of kDecomposed[i] (ascending) is the pool's
// [kDecompositionOffset[i], kDecompositionOffset[i + 1]).
extern const int kDecompositions;
extern const uint32_t kDecomposed[];
extern const uint16_t kDecompositionOffset[];
extern const uint32_t kDecompositionPool[];

// Primary composites except Hangul, ascending by (first, second).
extern const int kCompositions;
extern const Composition kComposition[];

}  // namespace naru::text::generated
