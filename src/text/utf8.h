// UTF-8: reading code points from text known to be valid, and making any bytes valid. Invalid bytes become U+FFFD, one
// for each maximal part of a character that is a good beginning, or for each byte that cannot begin one: the rule of
// the Unicode standard's chapter 3, of Rust's from_utf8_lossy and of Python's errors="replace".
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace naru::text {

struct CodePoint {
  uint32_t value;
  uint32_t bytes;  // 1 to 4
};

// The code point at `p`, which points at the first byte of a character in valid UTF-8.
inline CodePoint code_point_at(const char* p) {
  const auto byte = [p](int i) { return static_cast<uint32_t>(static_cast<unsigned char>(p[i])); };
  const uint32_t lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  if (lead < 0xE0) return {(lead & 0x1F) << 6 | (byte(1) & 0x3F), 2};
  if (lead < 0xF0) return {(lead & 0x0F) << 12 | (byte(1) & 0x3F) << 6 | (byte(2) & 0x3F), 3};
  return {(lead & 0x07) << 18 | (byte(1) & 0x3F) << 12 | (byte(2) & 0x3F) << 6 | (byte(3) & 0x3F), 4};
}

// The code point that ends just before `p` in valid UTF-8 that begins at `begin` < p.
inline CodePoint code_point_before(const char* begin, const char* p) {
  const char* q = p - 1;
  while (q > begin && (static_cast<unsigned char>(*q) & 0xC0) == 0x80) --q;
  return code_point_at(q);
}

void append_utf8(uint32_t code_point, std::string& out);

bool is_valid_utf8(std::string_view text);

// Number of characters of valid UTF-8.
int64_t count_code_points(std::string_view text);

// Makes a stream of bytes valid; a character cut by a push waits for the next one.
class Utf8Repairer {
 public:
  void push(std::string_view bytes, std::string& out);
  // The end of the stream: a character still waiting becomes U+FFFD.
  void finish(std::string& out);

 private:
  char waiting_[4] = {};
  size_t n_waiting_ = 0;
};

std::string repair_utf8(std::string_view bytes);

}  // namespace naru::text
