// Grapheme clusters: what a reader takes for one character, by the rules of UAX #29 (extended, with Indic conjuncts): a
// letter with its marks, a Hangul syllable in conjoining jamo, two regional indicators that are a flag, emoji with skin
// tones, variation selectors and keycaps, or joined by ZWJ.
#pragma once

#include <cstddef>
#include <string_view>

namespace naru::text {

// Where the cluster ends that begins at `at` < text.size(), in valid UTF-8.
size_t grapheme_end(std::string_view text, size_t at);

// Where the cluster begins that ends at `at` > 0, a place between two characters of valid UTF-8. Looks back to the last
// place that is surely between two clusters, which text from outside may put far away.
size_t grapheme_begin(std::string_view text, size_t at);

}  // namespace naru::text
