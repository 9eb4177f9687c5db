// UTF-8 as formats need it: is it valid, and how to show foreign text inside a message of ours. Everything else about
// Unicode belongs to src/text.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace naru::formats {

// The bytes before the first that breaks UTF-8 (overlong forms, surrogates and values above U+10FFFF break it);
// text.size() where all of it is valid.
int64_t utf8_valid_prefix(std::string_view text);
inline bool is_valid_utf8(std::string_view text) {
  return utf8_valid_prefix(text) == static_cast<int64_t>(text.size());
}

// True where the text has a character below U+0020, U+007F or U+0080..U+009F.
bool has_control_characters(std::string_view text);

// Foreign text made fit for one line of a message: control characters and broken bytes as \xNN, and after
// `bytes_max` bytes of it " ... (N bytes)".
std::string printable(std::string_view text, int64_t bytes_max = 80);

// The byte order mark that Windows editors put before a text; it is no part of the text.
inline constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
inline std::string_view without_byte_order_mark(std::string_view text) {
  return text.starts_with(kByteOrderMark) ? text.substr(kByteOrderMark.size()) : text;
}

}  // namespace naru::formats
