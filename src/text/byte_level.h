// The byte-to-unicode alphabet of byte-level vocabularies: each of the 256 bytes stands as one printable character.
// Printable Latin-1 stands for itself; the other 68 bytes are U+0100 upward in ascending order.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace naru::text {

// The byte that a character of the alphabet stands for; nothing for other characters.
std::optional<uint8_t> byte_of_char(uint32_t code_point);

// The text of raw bytes: the inverse of bytes_of_token.
std::string token_of_bytes(std::string_view bytes);

// The 256 bytes in ascending order of their characters: printable Latin-1 first.
std::array<uint8_t, 256> bytes_by_char();

// The bytes that valid UTF-8 in the alphabet stands for; nothing where any character is outside it.
std::optional<std::string> bytes_of_token(std::string_view token);

}  // namespace naru::text
