// The scalar operations of docs/arithmetic.md section 1: IEEE binary32, round to nearest even, where a subnormal
// input reads as zero of its sign, and a result whose value rounded to 24 bits with unbounded exponent lies below
// 2^-126 is zero of its sign (what x86 does with FTZ and DAZ set). These functions give those bits on every processor
// and in every floating-point mode; the reference chip and the host's own arithmetic are made of them.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <utility>

#include "base/float_bits.h"

namespace naru::contract {

constexpr float kMinNormal = 0x1p-126f;

inline float flush(float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x);
  return (bits & 0x7f800000u) == 0 ? std::bit_cast<float>(bits & 0x80000000u) : x;
}

inline bool is_min_normal(float x) {
  return (std::bit_cast<uint32_t>(x) & 0x7fffffffu) == 0x00800000u;
}

namespace detail {
// `scaled` is the exact result times 2^100, so that its rounding to 24 bits is free of the exponent's end.
inline float decide_at_min_normal(double scaled, float rounded) {
  return std::fabs(static_cast<float>(scaled)) < 0x1p-26f ? std::copysign(0.0f, rounded) : rounded;
}
inline float fma_at_min_normal(float a, float b, float c, float rounded) {
  if (std::fabs(a) > std::fabs(b)) std::swap(a, b);  // |a| <= 2^-38 here, and |c| <= 2^-77: scaling cannot overflow
  const float scaled = std::fma(a * 0x1p64f, b, c * 0x1p64f);
  return std::fabs(scaled) < 0x1p-62f ? std::copysign(0.0f, rounded) : rounded;
}
}  // namespace detail

inline float add(float a, float b) {
  return flush(flush(a) + flush(b));
}  // near 2^-126 a sum of normals is exact
inline float sub(float a, float b) {
  return flush(flush(a) - flush(b));
}

inline float mul(float a, float b) {
  a = flush(a), b = flush(b);
  const float r = a * b;
  if (is_min_normal(r)) [[unlikely]]
    return detail::decide_at_min_normal(static_cast<double>(a) * static_cast<double>(b) * 0x1p100, r);
  return flush(r);
}

inline float div(float a, float b) {
  a = flush(a), b = flush(b);
  const float r = a / b;
  if (is_min_normal(r)) [[unlikely]]
    return detail::decide_at_min_normal(static_cast<double>(a) / static_cast<double>(b) * 0x1p100, r);
  return flush(r);
}

inline float fma(float a, float b, float c) {
  a = flush(a), b = flush(b), c = flush(c);
  const float r = std::fma(a, b, c);
  if (is_min_normal(r)) [[unlikely]]
    return detail::fma_at_min_normal(a, b, c, r);
  return flush(r);
}

inline float sqrt(float x) {
  return std::sqrt(flush(x));
}  // the root of a normal is normal

inline float rint(float x) {  // nearest even integer, without regard to the current rounding mode
  x = flush(x);
  if (!(std::fabs(x) < 0x1p23f)) return x;
  const float magic = std::copysign(0x1p23f, x);
  return std::copysign((x + magic) - magic, x);
}

// The larger; NaN when either is NaN. A row's max ends with + (+0) (see rows.h).
inline float max(float a, float b) {
  a = flush(a), b = flush(b);
  if (std::isnan(a)) return a;
  if (std::isnan(b)) return b;
  return a < b ? b : a;
}

inline float to_f32(int32_t x) {
  return static_cast<float>(x);
}

// exp, worst error below 0.90 ulp: NaN to NaN, above 0x1.62e42ep+6 infinity, below -88 +0.
inline float exp(float x) {
  if (std::isnan(x)) return x;
  x = flush(x);
  if (x > 0x1.62e42ep+6f) return std::bit_cast<float>(0x7f800000u);
  if (x < -88.0f) return 0.0f;
  const float n = rint(mul(x, 0x1.715476p+0f));
  float r = fma(n, -0x1.62e4p-1f, x);
  r = fma(n, -0x1.7f7d1cp-20f, r);
  float p = 1.98756915e-4f;
  p = fma(p, r, 1.3981999507e-3f);
  p = fma(p, r, 8.3334519073e-3f);
  p = fma(p, r, 4.1665795894e-2f);
  p = fma(p, r, 1.6666665459e-1f);
  p = fma(p, r, 5.0000001201e-1f);
  p = fma(p, r, 1.0f);
  p = fma(p, r, 1.0f);
  const int32_t bits = std::bit_cast<int32_t>(p);
  const int32_t exponent = (bits >> 23) + static_cast<int32_t>(n);
  if (exponent <= 0) return 0.0f;
  if (exponent >= 255) return std::bit_cast<float>(0x7f800000u);
  return std::bit_cast<float>((bits & 0x007fffff) | (exponent << 23));
}

// log, worst error below 0.83 ulp: zeros to -infinity, negatives and NaN to NaN (0x7fc00000), +infinity to itself.
inline float log(float x) {
  x = flush(x);
  if (x == 0.0f) return std::bit_cast<float>(0xff800000u);
  if (std::isnan(x) || x < 0.0f) return std::bit_cast<float>(0x7fc00000u);
  const int32_t bits = std::bit_cast<int32_t>(x);
  if (bits == 0x7f800000) return x;
  int32_t e = (bits >> 23) - 127;
  float m = std::bit_cast<float>((bits & 0x007fffff) | 0x3f800000);  // [1, 2)
  if (m >= 0x1.6a09e6p+0f) {
    m *= 0.5f;
    e += 1;
  }
  const float f = sub(m, 1.0f);
  const float z = mul(f, f);
  float p = 7.0376836292e-2f;
  p = fma(p, f, -1.151461031e-1f);
  p = fma(p, f, 1.1676998740e-1f);
  p = fma(p, f, -1.2420140846e-1f);
  p = fma(p, f, 1.4249322787e-1f);
  p = fma(p, f, -1.6668057665e-1f);
  p = fma(p, f, 2.0000714765e-1f);
  p = fma(p, f, -2.4999993993e-1f);
  p = fma(p, f, 3.3333331174e-1f);
  float y = mul(mul(f, z), p);
  y = fma(to_f32(e), -2.1219444e-4f, y);
  y = fma(-0.5f, z, y);
  return fma(to_f32(e), 0.693359375f, add(f, y));
}

inline float silu(float x) {
  return div(flush(x), add(1.0f, exp(-flush(x))));
}
inline float sigmoid(float x) {
  return div(1.0f, add(1.0f, exp(-flush(x))));
}

// What comparisons and hashes see: every NaN as 0x7fc00000.
inline uint32_t canonical_bits(float x) {
  return std::isnan(x) ? 0x7fc00000u : std::bit_cast<uint32_t>(x);
}

}  // namespace naru::contract
