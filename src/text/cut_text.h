// Where a long text may be cut so that it can be split part by part: the pieces of the parts are the pieces of the
// whole, under every pre-tokenizer of text/splitter.h and with or without NFC.
#pragma once

#include <cstddef>
#include <string_view>

namespace naru::text {

inline constexpr size_t kUncutBytesMax = 16 << 20;  // a text with no place to cut is cut behind so many bytes

// The last place to cut in (0, about], else the first behind it; text.size() where the text is no longer than `about`
// or holds none. In a text with no such place within kUncutBytesMax, that many bytes, or a few less so that no
// character is broken: then two pieces may differ. Any bytes may be given.
size_t place_to_cut(std::string_view text, size_t about);

}  // namespace naru::text
