// One decoder of a single sequence, by the table of well-formed byte sequences (Unicode standard, table 3-7).
#include "formats/utf8.h"

#include <fmt/format.h>

#include <cstring>

namespace naru::formats {
namespace {

// Length of the well-formed sequence at the start of `text`; 0 where it is broken.
int sequence_length(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const auto is_tail = [&](size_t i) { return (byte(i) & 0xc0u) == 0x80u; };
  const uint8_t lead = byte(0);
  if (lead < 0x80) return 1;
  if (lead < 0xc2 || lead > 0xf4) return 0;
  if (lead < 0xe0) return text.size() >= 2 && is_tail(1) ? 2 : 0;
  if (text.size() < 3 || !is_tail(1) || !is_tail(2)) return 0;
  if (lead < 0xf0) {
    if (lead == 0xe0 && byte(1) < 0xa0) return 0;  // overlong
    if (lead == 0xed && byte(1) > 0x9f) return 0;  // surrogate
    return 3;
  }
  if (text.size() < 4 || !is_tail(3)) return 0;
  if (lead == 0xf0 && byte(1) < 0x90) return 0;  // overlong
  if (lead == 0xf4 && byte(1) > 0x8f) return 0;  // above U+10FFFF
  return 4;
}

// Whether the well-formed sequence of `length` bytes at the start of `text` is a control character.
bool is_control(std::string_view text, int length) {
  const auto lead = static_cast<uint8_t>(text[0]);
  return (length == 1 && (lead < 0x20 || lead == 0x7f)) ||
         (length == 2 && lead == 0xc2 && static_cast<uint8_t>(text[1]) < 0xa0);
}

}  // namespace

int64_t utf8_valid_prefix(std::string_view text) {
  size_t i = 0;
  while (i < text.size()) {
    uint64_t eight;
    if (text.size() - i >= sizeof(eight)) {
      std::memcpy(&eight, text.data() + i, sizeof(eight));
      if ((eight & 0x8080808080808080u) == 0) {
        i += sizeof(eight);
        continue;
      }
    }
    const int length = sequence_length(text.substr(i));
    if (length == 0) break;
    i += static_cast<size_t>(length);
  }
  return static_cast<int64_t>(i);
}

bool has_control_characters(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const int length = sequence_length(text.substr(i));
    if (length > 0 && is_control(text.substr(i), length)) return true;
    i += static_cast<size_t>(length > 0 ? length : 1);
  }
  return false;
}

std::string printable(std::string_view text, int64_t bytes_max) {
  std::string out;
  size_t i = 0;
  while (i < text.size() && static_cast<int64_t>(i) < bytes_max) {
    const int length = sequence_length(text.substr(i));
    if (length == 0 || is_control(text.substr(i), length)) {
      out += fmt::format("\\x{:02x}", static_cast<uint8_t>(text[i]));
      // The second byte of a two-byte control character is shown by the next turn, as a broken byte.
      i += 1;
      continue;
    }
    out.append(text, i, static_cast<size_t>(length));
    i += static_cast<size_t>(length);
  }
  if (i < text.size()) out += fmt::format(" ... ({} bytes)", text.size());
  return out;
}

}  // namespace naru::formats
