// The operations of contract/scalar.h on plain floats for the vector levels, where the processor flushes by itself.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

namespace naru::cpu::NARU_LEVEL {

NARU_INLINE float flush(float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x);
  return (bits & 0x7f800000u) == 0 ? std::bit_cast<float>(bits & 0x80000000u) : x;
}
NARU_INLINE float add(float a, float b) {
  return a + b;
}
NARU_INLINE float sub(float a, float b) {
  return a - b;
}
NARU_INLINE float mul(float a, float b) {
  return a * b;
}
NARU_INLINE float div(float a, float b) {
  return a / b;
}
NARU_INLINE float fma(float a, float b, float c) {
  return __builtin_fmaf(a, b, c);
}
NARU_INLINE float sqrt(float a) {
  return _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(a)));
}
NARU_INLINE bool is_nan(float a) {
  return a != a;
}
NARU_INLINE float max(float a, float b) {
  if (is_nan(a)) return a;
  return flush(is_nan(b) || a < b ? b : a);
}

}  // namespace naru::cpu::NARU_LEVEL
