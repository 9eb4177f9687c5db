// Hashing for the tables of this floor. Nothing depends on the values but speed: no table is walked in hash order.
#pragma once

#include <cstdint>
#include <cstring>
#include <string_view>

namespace naru::text {

inline uint64_t mix(uint64_t x) {
  x ^= x >> 32;
  x *= 0x9E3779B97F4A7C15u;
  return x ^ (x >> 29);
}

inline uint64_t hash_bytes(std::string_view bytes) {
  uint64_t h = 0x243F6A8885A308D3u ^ bytes.size();
  const char* p = bytes.data();
  size_t n = bytes.size();
  for (; n >= 8; p += 8, n -= 8) {
    uint64_t word;
    std::memcpy(&word, p, 8);
    h = mix(h ^ word) * 0xD6E8FEB86659FD93u;
  }
  uint64_t tail = 0;
  std::memcpy(&tail, p, n);
  return mix(h ^ tail);
}

}  // namespace naru::text
