// The vocabulary of simd.h, which includes this, in arrays, each lane by contract/scalar.h. Right on every processor
// and in every floating-point mode; not fast.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>

#include "base/float_bits.h"
#include "contract/scalar.h"

namespace naru::cpu::NARU_LEVEL {

constexpr int kLanes = 16;
struct F32x16 {
  float v[16];
};
struct I32x16 {
  int32_t v[16];
};
struct Boolx16 {
  bool v[16];
};
using F32xN = F32x16;
using I32xN = I32x16;
struct U8x4N {
  uint8_t v[64];
};
struct I8x4N {
  int8_t v[64];
};

// Applies f to each lane number.
template <typename Vector, typename Function>
NARU_INLINE Vector lanes(const Function& f) {
  Vector r;
  for (int i = 0; i < 16; ++i) r.v[i] = f(i);
  return r;
}

NARU_INLINE Boolx16 first_lanes(int64_t n) {
  return lanes<Boolx16>([&](int i) { return i < n; });
}

template <typename V>
NARU_INLINE V zero() {
  return {};
}
NARU_INLINE F32x16 zero() {
  return {};
}
NARU_INLINE F32x16 splat(float x) {
  return lanes<F32x16>([&](int) { return x; });
}
NARU_INLINE I32x16 splat_i32(int32_t x) {
  return lanes<I32x16>([&](int) { return x; });
}
template <typename V>
NARU_INLINE V load(const void* p) {
  V r;
  std::memcpy(r.v, p, sizeof(r.v));
  return r;
}
NARU_INLINE F32x16 load(const float* p) {
  return load<F32x16>(p);
}
NARU_INLINE I32x16 load_i32(const void* p) {
  return load<I32x16>(p);
}
template <typename V>
NARU_INLINE V load_splat(const void* p) {
  V r;
  for (int i = 0; i < 16; ++i) std::memcpy(reinterpret_cast<std::byte*>(r.v) + 4 * i, p, 4);
  return r;
}
NARU_INLINE F32x16 load_first(const float* p, int64_t n) {
  F32x16 r = zero();
  std::memcpy(r.v, p, static_cast<size_t>(n) * sizeof(float));
  return r;
}
// Sixteen elements of a narrower type T, each widened.
template <typename Vector, typename T, typename Function>
NARU_INLINE Vector load_widened(const void* p, const Function& widen) {
  T from[16];
  std::memcpy(from, p, sizeof(from));
  return lanes<Vector>([&](int i) { return widen(from[i]); });
}
NARU_INLINE F32xN load_f16(const void* p) {
  return load_widened<F32xN, uint16_t>(p, f16_to_f32);
}
NARU_INLINE F32xN load_bf16(const void* p) {
  return load_widened<F32xN, uint16_t>(p, bf16_to_f32);
}
NARU_INLINE I32xN load_u8(const void* p) {
  return load_widened<I32xN, uint8_t>(p, [](uint8_t x) { return x; });
}
NARU_INLINE I32xN load_i8(const void* p) {
  return load_widened<I32xN, int8_t>(p, [](int8_t x) { return x; });
}
NARU_INLINE void store_first(float* p, F32x16 x, int64_t n) {
  std::memcpy(p, x.v, static_cast<size_t>(n) * sizeof(float));
}
NARU_INLINE void store(float* p, F32x16 x) {
  store_first(p, x, 16);
}
NARU_INLINE void store(void* p, I32x16 x) {
  std::memcpy(p, x.v, sizeof(x.v));
}

NARU_INLINE float flush(float x) {
  return contract::flush(x);
}
NARU_INLINE float add(float a, float b) {
  return contract::add(a, b);
}
NARU_INLINE float sub(float a, float b) {
  return contract::sub(a, b);
}
NARU_INLINE float mul(float a, float b) {
  return contract::mul(a, b);
}
NARU_INLINE float div(float a, float b) {
  return contract::div(a, b);
}
NARU_INLINE float fma(float a, float b, float c) {
  return contract::fma(a, b, c);
}
NARU_INLINE float sqrt(float a) {
  return contract::sqrt(a);
}
NARU_INLINE bool is_nan(float a) {
  return a != a;
}
NARU_INLINE float max(float a, float b) {
  return contract::max(a, b);
}

NARU_INLINE F32x16 add(F32x16 a, F32x16 b) {
  return lanes<F32x16>([&](int i) { return contract::add(a.v[i], b.v[i]); });
}
NARU_INLINE F32x16 sub(F32x16 a, F32x16 b) {
  return lanes<F32x16>([&](int i) { return contract::sub(a.v[i], b.v[i]); });
}
NARU_INLINE F32x16 mul(F32x16 a, F32x16 b) {
  return lanes<F32x16>([&](int i) { return contract::mul(a.v[i], b.v[i]); });
}
NARU_INLINE F32x16 div(F32x16 a, F32x16 b) {
  return lanes<F32x16>([&](int i) { return contract::div(a.v[i], b.v[i]); });
}
NARU_INLINE F32x16 fma(F32x16 a, F32x16 b, F32x16 c) {
  return lanes<F32x16>([&](int i) { return contract::fma(a.v[i], b.v[i], c.v[i]); });
}
NARU_INLINE F32xN fnma(F32xN a, F32xN b, F32xN c) {
  return lanes<F32xN>([&](int i) { return contract::fma(-a.v[i], b.v[i], c.v[i]); });
}
NARU_INLINE F32xN fma_splat(const void* p, F32xN b, F32xN c) {
  return fma(load_splat<F32xN>(p), b, c);
}
NARU_INLINE F32x16 sqrt(F32x16 a) {
  return lanes<F32x16>([&](int i) { return contract::sqrt(a.v[i]); });
}
NARU_INLINE F32x16 rint(F32x16 a) {
  return lanes<F32x16>([&](int i) { return contract::rint(a.v[i]); });
}
NARU_INLINE F32x16 max(F32x16 a, F32x16 b) {
  return lanes<F32x16>([&](int i) { return contract::max(a.v[i], b.v[i]); });
}
NARU_INLINE F32x16 larger(F32x16 a, F32x16 b) {
  return lanes<F32x16>([&](int i) { return a.v[i] > b.v[i] ? a.v[i] : b.v[i]; });
}
NARU_INLINE F32x16 flush(F32x16 a) {
  return lanes<F32x16>([&](int i) { return contract::flush(a.v[i]); });
}
NARU_INLINE F32x16 negate(F32x16 a) {
  return lanes<F32x16>([&](int i) { return -a.v[i]; });
}

NARU_INLINE I32x16 as_i32(F32x16 a) {
  return std::bit_cast<I32x16>(a);
}
NARU_INLINE F32x16 as_f32(I32x16 a) {
  return std::bit_cast<F32x16>(a);
}
NARU_INLINE F32x16 to_f32(I32x16 a) {
  return lanes<F32x16>([&](int i) { return static_cast<float>(a.v[i]); });
}
NARU_INLINE I32x16 to_i32(F32x16 a) {  // out of range and NaN as on x86
  return lanes<I32x16>(
      [&](int i) { return a.v[i] >= -0x1p31f && a.v[i] < 0x1p31f ? static_cast<int32_t>(a.v[i]) : INT32_MIN; });
}

// Integer lanes wrap around, so they are computed unsigned.
NARU_INLINE I32x16 add(I32x16 a, I32x16 b) {
  return lanes<I32x16>(
      [&](int i) { return static_cast<int32_t>(static_cast<uint32_t>(a.v[i]) + static_cast<uint32_t>(b.v[i])); });
}
NARU_INLINE I32x16 sub(I32x16 a, I32x16 b) {
  return lanes<I32x16>(
      [&](int i) { return static_cast<int32_t>(static_cast<uint32_t>(a.v[i]) - static_cast<uint32_t>(b.v[i])); });
}
NARU_INLINE I32x16 bit_and(I32x16 a, I32x16 b) {
  return lanes<I32x16>([&](int i) { return a.v[i] & b.v[i]; });
}
NARU_INLINE I32x16 bit_or(I32x16 a, I32x16 b) {
  return lanes<I32x16>([&](int i) { return a.v[i] | b.v[i]; });
}
template <int kBits>
NARU_INLINE I32x16 shift_left(I32x16 a) {
  return lanes<I32x16>([&](int i) { return static_cast<int32_t>(static_cast<uint32_t>(a.v[i]) << kBits); });
}
template <int kBits>
NARU_INLINE I32x16 shift_right(I32x16 a) {
  return lanes<I32x16>([&](int i) { return a.v[i] >> kBits; });
}
template <int kBits>
NARU_INLINE I32x16 shift_right_logical(I32x16 a) {
  return lanes<I32x16>([&](int i) { return static_cast<int32_t>(static_cast<uint32_t>(a.v[i]) >> kBits); });
}

NARU_INLINE Boolx16 less(F32x16 a, F32x16 b) {
  return lanes<Boolx16>([&](int i) { return contract::flush(a.v[i]) < contract::flush(b.v[i]); });
}
NARU_INLINE Boolx16 less(I32x16 a, I32x16 b) {
  return lanes<Boolx16>([&](int i) { return a.v[i] < b.v[i]; });
}
NARU_INLINE Boolx16 equal(I32x16 a, I32x16 b) {
  return lanes<Boolx16>([&](int i) { return a.v[i] == b.v[i]; });
}
NARU_INLINE Boolx16 is_nan(F32x16 a) {
  return lanes<Boolx16>([&](int i) { return a.v[i] != a.v[i]; });
}
NARU_INLINE Boolx16 both(Boolx16 a, Boolx16 b) {
  return lanes<Boolx16>([&](int i) { return a.v[i] && b.v[i]; });
}
NARU_INLINE Boolx16 either(Boolx16 a, Boolx16 b) {
  return lanes<Boolx16>([&](int i) { return a.v[i] || b.v[i]; });
}
NARU_INLINE uint32_t bits_of(Boolx16 m) {
  uint32_t bits = 0;
  for (int i = 0; i < 16; ++i) bits |= static_cast<uint32_t>(m.v[i]) << i;
  return bits;
}
NARU_INLINE bool any(Boolx16 m) {
  return bits_of(m) != 0;
}
template <typename Vector>
NARU_INLINE Vector select(Boolx16 m, Vector a, Vector b) {
  return lanes<Vector>([&](int i) { return m.v[i] ? a.v[i] : b.v[i]; });
}

NARU_INLINE float first_lane(F32x16 a) {
  return a.v[0];
}
NARU_INLINE float sum_lanes(F32x16 a) {
  for (int half = 8; half > 0; half /= 2) {
    for (int i = 0; i < half; ++i) a.v[i] = contract::add(a.v[i], a.v[i + half]);
  }
  return a.v[0];
}

NARU_INLINE float largest_lane(F32x16 a) {
  float most = a.v[0];
  for (int i = 1; i < 16; ++i) most = most < a.v[i] ? a.v[i] : most;
  return most;
}

NARU_INLINE void interleave(F32x16 a, F32x16 b, F32x16& first, F32x16& second) {
  first = lanes<F32x16>([&](int i) { return i % 2 == 0 ? a.v[i / 2] : b.v[i / 2]; });
  second = lanes<F32x16>([&](int i) { return i % 2 == 0 ? a.v[8 + i / 2] : b.v[8 + i / 2]; });
}
NARU_INLINE void deinterleave(F32x16 first, F32x16 second, F32x16& a, F32x16& b) {
  a = lanes<F32x16>([&](int i) { return i < 8 ? first.v[2 * i] : second.v[2 * i - 16]; });
  b = lanes<F32x16>([&](int i) { return i < 8 ? first.v[2 * i + 1] : second.v[2 * i - 15]; });
}

NARU_INLINE U8x4N low_nibbles(U8x4N x) {
  for (uint8_t& byte : x.v) byte &= 15;
  return x;
}
NARU_INLINE U8x4N high_nibbles(U8x4N x) {
  for (uint8_t& byte : x.v) byte = static_cast<uint8_t>(byte >> 4);
  return x;
}
template <int kFrom, int kMask>
NARU_INLINE U8x4N put_above(U8x4N low, const U8x4N& plane) {
  for (int i = 0; i < 64; ++i) low.v[i] |= static_cast<uint8_t>((plane.v[i] >> kFrom << 4) & kMask);
  return low;
}
NARU_INLINE I32xN dot_bytes(const I8x4N& a, const U8x4N& w, I32xN sum) {
  for (int i = 0; i < 16; ++i) {
    uint32_t dot = 0;
    for (int j = 4 * i; j < 4 * i + 4; ++j) dot += static_cast<uint32_t>(int32_t{w.v[j]} * a.v[j]);
    sum.v[i] = static_cast<int32_t>(static_cast<uint32_t>(sum.v[i]) + dot);
  }
  return sum;
}
NARU_INLINE I32xN dot_bytes_splat(const void* p, const U8x4N& w, I32xN sum) {
  return dot_bytes(load_splat<I8x4N>(p), w, sum);
}

}  // namespace naru::cpu::NARU_LEVEL
