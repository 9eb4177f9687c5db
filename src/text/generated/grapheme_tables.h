// The shape of the generated table of grapheme clusters (grapheme_tables.cpp, made by
// tools/unicode/make_grapheme_tables.py). Code points that no range names are of class 0; Hangul syllables are
// computed.
#pragma once

#include <cstdint>

namespace naru::text::generated {

struct GraphemeRange {
  uint32_t first, last;
  uint8_t record;  // class, and in the bits above it the part in an Indic conjunct
};

// Ascending.
extern const int kGraphemeRanges;
extern const GraphemeRange kGraphemeRange[];

}  // namespace naru::text::generated
