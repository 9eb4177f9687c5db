// Unicode normalisation form C, as the official tokenizers' normaliser does it (its own Unicode version: see
// text/unicode.h). Linear in the text, except for runs of combining marks, which are sorted (n log n).
#pragma once

#include <string>
#include <string_view>

namespace naru::text {

// True where every character is stable on its own and beside any other: NFC leaves such text as it is. False says
// nothing.
bool is_plainly_nfc(std::string_view text);

// True where NFC(a + text) == NFC(a) + NFC(text) for every a: the first character interacts with nothing before it.
bool begins_apart_for_nfc(std::string_view text);

// Where the last character of `text` (valid, not empty) that begins apart starts; 0 where there is none.
size_t last_apart_for_nfc(std::string_view text);

// Appends the NFC of valid UTF-8.
void append_nfc(std::string_view text, std::string& out);

}  // namespace naru::text
