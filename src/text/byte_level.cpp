// See byte_level.h.
#include "text/byte_level.h"

#include <array>

#include "text/utf8.h"

namespace naru::text {
namespace {

constexpr bool stands_for_itself(int byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || (byte >= 0xAE && byte <= 0xFF);
}

// Byte by code point below 0x144; -1 where there is none.
constexpr std::array<int16_t, 0x144> make_bytes() {
  std::array<int16_t, 0x144> table{};
  for (auto& entry : table) entry = -1;
  int next = 0x100;
  for (int byte = 0; byte < 256; ++byte) {
    table[static_cast<size_t>(stands_for_itself(byte) ? byte : next++)] = static_cast<int16_t>(byte);
  }
  return table;
}
constexpr auto kByteOfChar = make_bytes();

constexpr std::array<uint16_t, 256> make_chars() {
  std::array<uint16_t, 256> table{};
  for (size_t c = 0; c < kByteOfChar.size(); ++c) {
    if (kByteOfChar[c] >= 0) table[static_cast<size_t>(kByteOfChar[c])] = static_cast<uint16_t>(c);
  }
  return table;
}
constexpr auto kCharOfByte = make_chars();

}  // namespace

std::optional<uint8_t> byte_of_char(uint32_t code_point) {
  if (code_point >= kByteOfChar.size() || kByteOfChar[code_point] < 0) return std::nullopt;
  return static_cast<uint8_t>(kByteOfChar[code_point]);
}

std::string token_of_bytes(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size() + bytes.size() / 4);
  for (const char byte : bytes) append_utf8(kCharOfByte[static_cast<unsigned char>(byte)], out);
  return out;
}

std::array<uint8_t, 256> bytes_by_char() {
  std::array<uint8_t, 256> bytes{};
  size_t n = 0;
  for (const int16_t byte : kByteOfChar) {
    if (byte >= 0) bytes[n++] = static_cast<uint8_t>(byte);
  }
  return bytes;
}

std::optional<std::string> bytes_of_token(std::string_view token) {
  std::string out;
  out.reserve(token.size());
  const char* p = token.data();
  const char* const end = p + token.size();
  while (p < end) {
    const CodePoint c = code_point_at(p);
    const auto byte = byte_of_char(c.value);
    if (!byte) return std::nullopt;
    out.push_back(static_cast<char>(*byte));
    p += c.bytes;
  }
  return out;
}

}  // namespace naru::text
