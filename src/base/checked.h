// Arithmetic on numbers that came from outside. Every function says when the true value does not fit.
#pragma once

#include <cstdint>
#include <optional>

namespace naru {

inline std::optional<int64_t> checked_add(int64_t a, int64_t b) {
  int64_t r;
  if (__builtin_add_overflow(a, b, &r)) return std::nullopt;
  return r;
}

inline std::optional<int64_t> checked_sub(int64_t a, int64_t b) {
  int64_t r;
  if (__builtin_sub_overflow(a, b, &r)) return std::nullopt;
  return r;
}

inline std::optional<int64_t> checked_mul(int64_t a, int64_t b) {
  int64_t r;
  if (__builtin_mul_overflow(a, b, &r)) return std::nullopt;
  return r;
}

// The least multiple of `alignment` (a power of two) that is >= value (>= 0).
inline std::optional<int64_t> checked_align_up(int64_t value, int64_t alignment) {
  const auto sum = checked_add(value, alignment - 1);
  if (!sum) return std::nullopt;
  return *sum & ~(alignment - 1);
}

// A count read from a file as uint64, as a signed count; nothing where it is above `limit`.
inline std::optional<int64_t> checked_count(uint64_t value, int64_t limit) {
  if (limit < 0 || value > static_cast<uint64_t>(limit)) return std::nullopt;
  return static_cast<int64_t>(value);
}

// For sizes of our own making, known to be small.
constexpr int64_t ceil_div(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}
constexpr int64_t round_up(int64_t a, int64_t b) {
  return ceil_div(a, b) * b;
}

}  // namespace naru
