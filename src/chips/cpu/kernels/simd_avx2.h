// The vocabulary of simd.h, which includes this, in ymm registers: the N = 8 lanes of F32xN and the like are one,
// sixteen lanes are two, of which `a` holds lanes 0 to 7 and `b` lanes 8 to 15.
#pragma once

#include <immintrin.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <type_traits>

namespace naru::cpu::NARU_LEVEL {

struct F32x16 {
  __m256 a, b;
};
struct I32x16 {
  __m256i a, b;
};
struct Boolx16 {  // all bits of a lane, or none
  __m256i a, b;
};

// One register: the bare type of the compiler. (Sixteen lanes as bare types, or these as structs, make GCC 12 allot the
// registers of the large loops in another way than the one that was measured.)
constexpr int kLanes = 8;
using F32xN [[gnu::vector_size(32)]] = float;
using I32xN [[gnu::vector_size(32)]] = long long;
using I16x2N = I32xN;
using U8x4N = I32xN;
using I8x4N = I32xN;

NARU_INLINE Boolx16 first_lanes(int64_t n) {
  const __m256i count = _mm256_set1_epi32(static_cast<int32_t>(n));
  return {_mm256_cmpgt_epi32(count, _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)),
          _mm256_cmpgt_epi32(count, _mm256_setr_epi32(8, 9, 10, 11, 12, 13, 14, 15))};
}

NARU_INLINE F32x16 zero() {
  return {_mm256_setzero_ps(), _mm256_setzero_ps()};
}
NARU_INLINE F32x16 splat(float x) {
  return {_mm256_set1_ps(x), _mm256_set1_ps(x)};
}
NARU_INLINE I32x16 splat_i32(int32_t i) {
  return {_mm256_set1_epi32(i), _mm256_set1_epi32(i)};
}
NARU_INLINE F32x16 load(const float* p) {
  return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)};
}
NARU_INLINE I32x16 load_i32(const void* p) {
  const auto* q = static_cast<const __m256i*>(p);
  return {_mm256_loadu_si256(q), _mm256_loadu_si256(q + 1)};
}
NARU_INLINE F32x16 load_first(const float* p, int64_t n) {
  const Boolx16 m = first_lanes(n);
  return {_mm256_maskload_ps(p, m.a), _mm256_maskload_ps(p + 8, m.b)};
}
NARU_INLINE void store(float* p, F32x16 x) {
  _mm256_storeu_ps(p, x.a);
  _mm256_storeu_ps(p + 8, x.b);
}
NARU_INLINE void store(void* p, I32x16 i) {
  auto* q = static_cast<__m256i*>(p);
  _mm256_storeu_si256(q, i.a);
  _mm256_storeu_si256(q + 1, i.b);
}
NARU_INLINE void store_first(float* p, F32x16 x, int64_t n) {
  const Boolx16 m = first_lanes(n);
  _mm256_maskstore_ps(p, m.a, x.a);
  _mm256_maskstore_ps(p + 8, m.b, x.b);
}

NARU_INLINE I32x16 as_i32(F32x16 x) {
  return {_mm256_castps_si256(x.a), _mm256_castps_si256(x.b)};
}
NARU_INLINE F32x16 as_f32(I32x16 x) {
  return {_mm256_castsi256_ps(x.a), _mm256_castsi256_ps(x.b)};
}
NARU_INLINE F32x16 to_f32(I32x16 x) {
  return {_mm256_cvtepi32_ps(x.a), _mm256_cvtepi32_ps(x.b)};
}
NARU_INLINE I32x16 to_i32(F32x16 x) {
  return {_mm256_cvtps_epi32(x.a), _mm256_cvtps_epi32(x.b)};
}

NARU_INLINE F32x16 add(F32x16 x, F32x16 y) {
  return {_mm256_add_ps(x.a, y.a), _mm256_add_ps(x.b, y.b)};
}
NARU_INLINE F32x16 sub(F32x16 x, F32x16 y) {
  return {_mm256_sub_ps(x.a, y.a), _mm256_sub_ps(x.b, y.b)};
}
NARU_INLINE F32x16 mul(F32x16 x, F32x16 y) {
  return {_mm256_mul_ps(x.a, y.a), _mm256_mul_ps(x.b, y.b)};
}
NARU_INLINE F32x16 div(F32x16 x, F32x16 y) {
  return {_mm256_div_ps(x.a, y.a), _mm256_div_ps(x.b, y.b)};
}
NARU_INLINE F32x16 fma(F32x16 x, F32x16 y, F32x16 z) {
  return {_mm256_fmadd_ps(x.a, y.a, z.a), _mm256_fmadd_ps(x.b, y.b, z.b)};
}
NARU_INLINE F32x16 sqrt(F32x16 x) {
  return {_mm256_sqrt_ps(x.a), _mm256_sqrt_ps(x.b)};
}
NARU_INLINE F32x16 rint(F32x16 x) {
  return {_mm256_round_ps(x.a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC),
          _mm256_round_ps(x.b, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}

NARU_INLINE I32x16 add(I32x16 x, I32x16 y) {
  return {_mm256_add_epi32(x.a, y.a), _mm256_add_epi32(x.b, y.b)};
}
NARU_INLINE I32x16 sub(I32x16 x, I32x16 y) {
  return {_mm256_sub_epi32(x.a, y.a), _mm256_sub_epi32(x.b, y.b)};
}
NARU_INLINE I32x16 bit_and(I32x16 x, I32x16 y) {
  return {_mm256_and_si256(x.a, y.a), _mm256_and_si256(x.b, y.b)};
}
NARU_INLINE I32x16 bit_or(I32x16 x, I32x16 y) {
  return {_mm256_or_si256(x.a, y.a), _mm256_or_si256(x.b, y.b)};
}
template <int kBits>
NARU_INLINE I32x16 shift_left(I32x16 x) {
  return {_mm256_slli_epi32(x.a, kBits), _mm256_slli_epi32(x.b, kBits)};
}
template <int kBits>
NARU_INLINE I32x16 shift_right(I32x16 x) {
  return {_mm256_srai_epi32(x.a, kBits), _mm256_srai_epi32(x.b, kBits)};
}
template <int kBits>
NARU_INLINE I32x16 shift_right_logical(I32x16 x) {
  return {_mm256_srli_epi32(x.a, kBits), _mm256_srli_epi32(x.b, kBits)};
}

NARU_INLINE Boolx16 less(F32x16 x, F32x16 y) {
  return {_mm256_castps_si256(_mm256_cmp_ps(x.a, y.a, _CMP_LT_OQ)),
          _mm256_castps_si256(_mm256_cmp_ps(x.b, y.b, _CMP_LT_OQ))};
}
NARU_INLINE Boolx16 less(I32x16 x, I32x16 y) {
  return {_mm256_cmpgt_epi32(y.a, x.a), _mm256_cmpgt_epi32(y.b, x.b)};
}
NARU_INLINE Boolx16 equal(I32x16 x, I32x16 y) {
  return {_mm256_cmpeq_epi32(x.a, y.a), _mm256_cmpeq_epi32(x.b, y.b)};
}
NARU_INLINE Boolx16 is_nan(F32x16 x) {
  return {_mm256_castps_si256(_mm256_cmp_ps(x.a, x.a, _CMP_UNORD_Q)),
          _mm256_castps_si256(_mm256_cmp_ps(x.b, x.b, _CMP_UNORD_Q))};
}
NARU_INLINE Boolx16 both(Boolx16 x, Boolx16 y) {
  return {_mm256_and_si256(x.a, y.a), _mm256_and_si256(x.b, y.b)};
}
NARU_INLINE Boolx16 either(Boolx16 x, Boolx16 y) {
  return {_mm256_or_si256(x.a, y.a), _mm256_or_si256(x.b, y.b)};
}
NARU_INLINE uint32_t bits_of(Boolx16 m) {
  const auto low = static_cast<uint32_t>(_mm256_movemask_ps(_mm256_castsi256_ps(m.a)));
  const auto high = static_cast<uint32_t>(_mm256_movemask_ps(_mm256_castsi256_ps(m.b)));
  return low | high << 8;
}
NARU_INLINE bool any(Boolx16 m) {
  return bits_of(m) != 0;
}
NARU_INLINE I32x16 select(Boolx16 m, I32x16 x, I32x16 y) {
  return {_mm256_blendv_epi8(y.a, x.a, m.a), _mm256_blendv_epi8(y.b, x.b, m.b)};
}
NARU_INLINE F32x16 select(Boolx16 m, F32x16 x, F32x16 y) {
  return as_f32(select(m, as_i32(x), as_i32(y)));
}

NARU_INLINE F32x16 negate(F32x16 x) {
  const __m256 sign = _mm256_set1_ps(-0.0f);
  return {_mm256_xor_ps(x.a, sign), _mm256_xor_ps(x.b, sign)};
}
NARU_INLINE F32x16 flush(F32x16 x) {
  const I32x16 bits = as_i32(x);
  const Boolx16 tiny = equal(bit_and(bits, splat_i32(0x7f800000)), splat_i32(0));
  return as_f32(select(tiny, bit_and(bits, splat_i32(INT32_MIN)), bits));
}
NARU_INLINE F32x16 larger(F32x16 x, F32x16 y) {
  return {_mm256_max_ps(x.a, y.a), _mm256_max_ps(x.b, y.b)};
}
// vmaxps gives its second operand where one is NaN or both are zero, as a < b ? b : a does for a NaN in a.
NARU_INLINE F32x16 max(F32x16 x, F32x16 y) {
  return flush(select(is_nan(y), y, F32x16{_mm256_max_ps(y.a, x.a), _mm256_max_ps(y.b, x.b)}));
}

NARU_INLINE float first_lane(F32x16 x) {
  return _mm256_cvtss_f32(x.a);
}
NARU_INLINE float sum_lanes(F32x16 x) {
  const __m256 eight = _mm256_add_ps(x.a, x.b);
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

NARU_INLINE float largest_lane(F32x16 x) {
  const __m256 eight = _mm256_max_ps(x.a, x.b);
  const __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}

NARU_INLINE void interleave_8(__m256 x, __m256 y, F32x16& out) {
  const __m256 low = _mm256_unpacklo_ps(x, y), high = _mm256_unpackhi_ps(x, y);
  out = {_mm256_permute2f128_ps(low, high, 0x20), _mm256_permute2f128_ps(low, high, 0x31)};
}
NARU_INLINE void interleave(F32x16 x, F32x16 y, F32x16& first, F32x16& second) {
  interleave_8(x.a, y.a, first);
  interleave_8(x.b, y.b, second);
}
NARU_INLINE void deinterleave_8(F32x16 pairs, __m256& x, __m256& y) {
  const __m256 low = _mm256_permute2f128_ps(pairs.a, pairs.b, 0x20);
  const __m256 high = _mm256_permute2f128_ps(pairs.a, pairs.b, 0x31);
  x = _mm256_shuffle_ps(low, high, 0x88);
  y = _mm256_shuffle_ps(low, high, 0xdd);
}
NARU_INLINE void deinterleave(F32x16 first, F32x16 second, F32x16& x, F32x16& y) {
  deinterleave_8(first, x.a, y.a);
  deinterleave_8(second, x.b, y.b);
}

// ---- one register ----

NARU_INLINE __m128i load_128(const void* p) {
  return _mm_loadu_si128(static_cast<const __m128i*>(p));
}
NARU_INLINE __m128i load_64(const void* p) {
  return _mm_loadl_epi64(static_cast<const __m128i*>(p));
}
template <typename V>
NARU_INLINE V zero() {
  if constexpr (std::is_same_v<V, F32xN>) {
    return _mm256_setzero_ps();
  } else {
    return _mm256_setzero_si256();
  }
}
template <typename V>
NARU_INLINE V load(const void* p) {
  if constexpr (std::is_same_v<V, F32xN>) {
    return _mm256_loadu_ps(static_cast<const float*>(p));
  } else {
    return _mm256_loadu_si256(static_cast<const __m256i*>(p));
  }
}
template <typename V>
NARU_INLINE V load_splat(const void* p) {
  const __m256 all = _mm256_broadcast_ss(static_cast<const float*>(p));
  if constexpr (std::is_same_v<V, F32xN>) {
    return all;
  } else {
    return _mm256_castps_si256(all);
  }
}
NARU_INLINE F32xN load_f16(const void* p) {
  return _mm256_cvtph_ps(load_128(p));
}
NARU_INLINE F32xN load_bf16(const void* p) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(load_128(p)), 16));
}
NARU_INLINE I32xN load_u8(const void* p) {
  return _mm256_cvtepu8_epi32(load_64(p));
}
NARU_INLINE I32xN load_i8(const void* p) {
  return _mm256_cvtepi8_epi32(load_64(p));
}
NARU_INLINE void store(float* p, F32xN x) {
  _mm256_storeu_ps(p, x);
}

NARU_INLINE F32xN add(F32xN x, F32xN y) {
  return _mm256_add_ps(x, y);
}
NARU_INLINE F32xN mul(F32xN x, F32xN y) {
  return _mm256_mul_ps(x, y);
}
NARU_INLINE F32xN fma(F32xN x, F32xN y, F32xN z) {
  return _mm256_fmadd_ps(x, y, z);
}
NARU_INLINE F32xN fnma(F32xN x, F32xN y, F32xN z) {
  return _mm256_fnmadd_ps(x, y, z);
}
NARU_INLINE F32xN fma_splat(const void* p, F32xN y, F32xN z) {
  return fma(load_splat<F32xN>(p), y, z);
}
NARU_INLINE F32xN to_f32(I32xN x) {
  return _mm256_cvtepi32_ps(x);
}
NARU_INLINE F32xN upper_halves(I32xN x) {
  return _mm256_castsi256_ps(_mm256_and_si256(x, _mm256_set1_epi32(static_cast<int>(0xffff0000u))));
}
NARU_INLINE F32xN lower_halves(I32xN x) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(x, 16));
}

NARU_INLINE U8x4N low_nibbles(U8x4N x) {
  return _mm256_and_si256(x, _mm256_set1_epi8(15));
}
NARU_INLINE U8x4N high_nibbles(U8x4N x) {
  return _mm256_and_si256(_mm256_srli_epi16(x, 4), _mm256_set1_epi8(15));
}
template <int kFrom, int kMask>
NARU_INLINE U8x4N put_above(U8x4N low, U8x4N plane) {
  const __m256i moved = kFrom > 4 ? _mm256_srli_epi16(plane, kFrom > 4 ? kFrom - 4 : 0)
                                  : _mm256_slli_epi16(plane, kFrom > 4 ? 0 : 4 - kFrom);
  return _mm256_or_si256(low, _mm256_and_si256(moved, _mm256_set1_epi8(kMask)));
}

NARU_INLINE I16x2N multiply_pairs(U8x4N w, I8x4N x) {
  return _mm256_maddubs_epi16(w, x);
}
NARU_INLINE I16x2N add_16(I16x2N x, I16x2N y) {
  return _mm256_add_epi16(x, y);
}
NARU_INLINE I32xN add(I32xN x, I32xN y) {
  return _mm256_add_epi32(x, y);
}
NARU_INLINE I32xN sum_pairs(I16x2N x) {
  return _mm256_madd_epi16(x, _mm256_set1_epi16(1));
}
struct SplitSign {
  U8x4N magnitude;
  I8x4N value;
};
NARU_INLINE SplitSign split_sign(U8x4N w) {
  const __m256i s = _mm256_xor_si256(w, _mm256_set1_epi8(static_cast<char>(0x80)));
  return {_mm256_abs_epi8(s), s};
}
NARU_INLINE I8x4N take_sign(const SplitSign& s, I8x4N x) {
  return _mm256_sign_epi8(x, s.value);
}

}  // namespace naru::cpu::NARU_LEVEL

#include "chips/cpu/kernels/simd_scalar.h"
