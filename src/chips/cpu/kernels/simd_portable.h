// F16, I16 and M16 as arrays, each lane by contract/scalar.h (see simd.h, which includes this). Right on every
// processor and in every floating-point mode; not fast.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>

#include "contract/scalar.h"

namespace naru::cpu::NARU_LEVEL {

struct F16 {
  float v[16];
};
struct I16 {
  int32_t v[16];
};
struct M16 {
  bool v[16];
};

// Applies f to each lane number.
template <typename Vector, typename Function>
NARU_SIMD Vector lanes(const Function& f) {
  Vector r;
  for (int i = 0; i < 16; ++i) r.v[i] = f(i);
  return r;
}

NARU_SIMD M16 first_lanes(int64_t n) {
  return lanes<M16>([&](int i) { return i < n; });
}

NARU_SIMD F16 splat(float x) {
  return lanes<F16>([&](int) { return x; });
}
NARU_SIMD F16 zero() {
  return splat(0.0f);
}
NARU_SIMD F16 load_first(const float* p, int64_t n) {
  F16 r = zero();
  std::memcpy(r.v, p, static_cast<size_t>(n) * sizeof(float));
  return r;
}
NARU_SIMD F16 load(const float* p) {
  return load_first(p, 16);
}
NARU_SIMD void store_first(float* p, F16 x, int64_t n) {
  std::memcpy(p, x.v, static_cast<size_t>(n) * sizeof(float));
}
NARU_SIMD void store(float* p, F16 x) {
  store_first(p, x, 16);
}

NARU_SIMD F16 load_bf16_first(const uint16_t* p, int64_t n) {
  return lanes<F16>([&](int i) { return i < n ? bf16_to_f32(p[i]) : 0.0f; });
}
NARU_SIMD F16 load_bf16(const uint16_t* p) {
  return load_bf16_first(p, 16);
}
NARU_SIMD F16 load_f16(const uint16_t* p) {
  return lanes<F16>([&](int i) { return f16_to_f32(p[i]); });
}
NARU_SIMD void store_bf16_bits_first(uint16_t* p, F16 x, int64_t n) {
  for (int64_t i = 0; i < n; ++i) p[i] = static_cast<uint16_t>(std::bit_cast<uint32_t>(x.v[i]) >> 16);
}
NARU_SIMD void store_bf16_bits(uint16_t* p, F16 x) {
  store_bf16_bits_first(p, x, 16);
}

NARU_SIMD float flush(float x) {
  return contract::flush(x);
}
NARU_SIMD float add(float a, float b) {
  return contract::add(a, b);
}
NARU_SIMD float sub(float a, float b) {
  return contract::sub(a, b);
}
NARU_SIMD float mul(float a, float b) {
  return contract::mul(a, b);
}
NARU_SIMD float div(float a, float b) {
  return contract::div(a, b);
}
NARU_SIMD float fma(float a, float b, float c) {
  return contract::fma(a, b, c);
}
NARU_SIMD float sqrt(float a) {
  return contract::sqrt(a);
}
NARU_SIMD bool is_nan(float a) {
  return a != a;
}
NARU_SIMD float max(float a, float b) {
  return contract::max(a, b);
}

NARU_SIMD F16 add(F16 a, F16 b) {
  return lanes<F16>([&](int i) { return contract::add(a.v[i], b.v[i]); });
}
NARU_SIMD F16 sub(F16 a, F16 b) {
  return lanes<F16>([&](int i) { return contract::sub(a.v[i], b.v[i]); });
}
NARU_SIMD F16 mul(F16 a, F16 b) {
  return lanes<F16>([&](int i) { return contract::mul(a.v[i], b.v[i]); });
}
NARU_SIMD F16 div(F16 a, F16 b) {
  return lanes<F16>([&](int i) { return contract::div(a.v[i], b.v[i]); });
}
NARU_SIMD F16 fma(F16 a, F16 b, F16 c) {
  return lanes<F16>([&](int i) { return contract::fma(a.v[i], b.v[i], c.v[i]); });
}
NARU_SIMD F16 sqrt(F16 a) {
  return lanes<F16>([&](int i) { return contract::sqrt(a.v[i]); });
}
NARU_SIMD F16 rint(F16 a) {
  return lanes<F16>([&](int i) { return contract::rint(a.v[i]); });
}
NARU_SIMD F16 max(F16 a, F16 b) {
  return lanes<F16>([&](int i) { return contract::max(a.v[i], b.v[i]); });
}
NARU_SIMD F16 larger(F16 a, F16 b) {
  return lanes<F16>([&](int i) { return a.v[i] > b.v[i] ? a.v[i] : b.v[i]; });
}
NARU_SIMD F16 flush(F16 a) {
  return lanes<F16>([&](int i) { return contract::flush(a.v[i]); });
}
NARU_SIMD F16 negate(F16 a) {
  return lanes<F16>([&](int i) { return -a.v[i]; });
}

NARU_SIMD I16 as_int(F16 a) {
  return std::bit_cast<I16>(a);
}
NARU_SIMD F16 as_float(I16 a) {
  return std::bit_cast<F16>(a);
}
NARU_SIMD F16 to_f32(I16 a) {
  return lanes<F16>([&](int i) { return static_cast<float>(a.v[i]); });
}
NARU_SIMD I16 to_int(F16 a) {  // out of range and NaN as on x86
  return lanes<I16>(
      [&](int i) { return a.v[i] >= -0x1p31f && a.v[i] < 0x1p31f ? static_cast<int32_t>(a.v[i]) : INT32_MIN; });
}

NARU_SIMD I16 splat_int(int32_t x) {
  return lanes<I16>([&](int) { return x; });
}
NARU_SIMD I16 load_int(const void* p) {
  I16 r;
  std::memcpy(r.v, p, sizeof(r.v));
  return r;
}
NARU_SIMD I16 load_i8(const int8_t* p) {
  return lanes<I16>([&](int i) { return p[i]; });
}
NARU_SIMD I16 load_u8(const uint8_t* p) {
  return lanes<I16>([&](int i) { return p[i]; });
}
NARU_SIMD void store_first(void* p, I16 a, int64_t n) {
  std::memcpy(p, a.v, static_cast<size_t>(n) * sizeof(int32_t));
}
NARU_SIMD void store(void* p, I16 a) {
  store_first(p, a, 16);
}
NARU_SIMD void store_i8(int8_t* p, I16 a) {
  for (int i = 0; i < 16; ++i) p[i] = static_cast<int8_t>(a.v[i]);
}

// Integer lanes wrap around, so they are computed unsigned.
NARU_SIMD I16 add(I16 a, I16 b) {
  return lanes<I16>(
      [&](int i) { return static_cast<int32_t>(static_cast<uint32_t>(a.v[i]) + static_cast<uint32_t>(b.v[i])); });
}
NARU_SIMD I16 sub(I16 a, I16 b) {
  return lanes<I16>(
      [&](int i) { return static_cast<int32_t>(static_cast<uint32_t>(a.v[i]) - static_cast<uint32_t>(b.v[i])); });
}
NARU_SIMD I16 mul(I16 a, I16 b) {
  return lanes<I16>(
      [&](int i) { return static_cast<int32_t>(static_cast<uint32_t>(a.v[i]) * static_cast<uint32_t>(b.v[i])); });
}
NARU_SIMD I16 bit_and(I16 a, I16 b) {
  return lanes<I16>([&](int i) { return a.v[i] & b.v[i]; });
}
NARU_SIMD I16 bit_or(I16 a, I16 b) {
  return lanes<I16>([&](int i) { return a.v[i] | b.v[i]; });
}
template <int kBits>
NARU_SIMD I16 shift_left(I16 a) {
  return lanes<I16>([&](int i) { return static_cast<int32_t>(static_cast<uint32_t>(a.v[i]) << kBits); });
}
template <int kBits>
NARU_SIMD I16 shift_right(I16 a) {
  return lanes<I16>([&](int i) { return a.v[i] >> kBits; });
}
template <int kBits>
NARU_SIMD I16 shift_right_logical(I16 a) {
  return lanes<I16>([&](int i) { return static_cast<int32_t>(static_cast<uint32_t>(a.v[i]) >> kBits); });
}

NARU_SIMD M16 less(F16 a, F16 b) {
  return lanes<M16>([&](int i) { return contract::flush(a.v[i]) < contract::flush(b.v[i]); });
}
NARU_SIMD M16 less(I16 a, I16 b) {
  return lanes<M16>([&](int i) { return a.v[i] < b.v[i]; });
}
NARU_SIMD M16 equal(I16 a, I16 b) {
  return lanes<M16>([&](int i) { return a.v[i] == b.v[i]; });
}
NARU_SIMD M16 is_nan(F16 a) {
  return lanes<M16>([&](int i) { return a.v[i] != a.v[i]; });
}
NARU_SIMD M16 both(M16 a, M16 b) {
  return lanes<M16>([&](int i) { return a.v[i] && b.v[i]; });
}
NARU_SIMD M16 either(M16 a, M16 b) {
  return lanes<M16>([&](int i) { return a.v[i] || b.v[i]; });
}
NARU_SIMD uint32_t mask_bits(M16 m) {
  uint32_t bits = 0;
  for (int i = 0; i < 16; ++i) bits |= static_cast<uint32_t>(m.v[i]) << i;
  return bits;
}
NARU_SIMD bool any(M16 m) {
  return mask_bits(m) != 0;
}
template <typename Vector>
NARU_SIMD Vector select(M16 m, Vector a, Vector b) {
  return lanes<Vector>([&](int i) { return m.v[i] ? a.v[i] : b.v[i]; });
}

NARU_SIMD float first_lane(F16 a) {
  return a.v[0];
}
NARU_SIMD float sum_lanes(F16 a) {
  for (int half = 8; half > 0; half /= 2) {
    for (int i = 0; i < half; ++i) a.v[i] = contract::add(a.v[i], a.v[i + half]);
  }
  return a.v[0];
}

// (a0 b0 a1 b1 ...) from (a0 a1 ...) and (b0 b1 ...), as the first and the second sixteen; and back.
NARU_SIMD void interleave(F16 a, F16 b, F16& first, F16& second) {
  first = lanes<F16>([&](int i) { return i % 2 == 0 ? a.v[i / 2] : b.v[i / 2]; });
  second = lanes<F16>([&](int i) { return i % 2 == 0 ? a.v[8 + i / 2] : b.v[8 + i / 2]; });
}
NARU_SIMD void deinterleave(F16 first, F16 second, F16& a, F16& b) {
  a = lanes<F16>([&](int i) { return i < 8 ? first.v[2 * i] : second.v[2 * i - 16]; });
  b = lanes<F16>([&](int i) { return i < 8 ? first.v[2 * i + 1] : second.v[2 * i - 15]; });
}

}  // namespace naru::cpu::NARU_LEVEL
