// F16, I16 and M16 in two ymm registers (see simd.h, which includes this): `a` holds lanes 0 to 7, `b` lanes 8 to 15.
#pragma once

#include <immintrin.h>

#include <bit>
#include <cmath>
#include <cstdint>

namespace naru::cpu::NARU_LEVEL {

struct F16 {
  __m256 a, b;
};
struct I16 {
  __m256i a, b;
};
struct M16 {  // all bits of a lane, or none
  __m256i a, b;
};

NARU_SIMD M16 first_lanes(int64_t n) {
  const __m256i count = _mm256_set1_epi32(static_cast<int32_t>(n));
  return {_mm256_cmpgt_epi32(count, _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)),
          _mm256_cmpgt_epi32(count, _mm256_setr_epi32(8, 9, 10, 11, 12, 13, 14, 15))};
}

NARU_SIMD F16 zero() {
  return {_mm256_setzero_ps(), _mm256_setzero_ps()};
}
NARU_SIMD F16 splat(float x) {
  return {_mm256_set1_ps(x), _mm256_set1_ps(x)};
}
NARU_SIMD F16 load(const float* p) {
  return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)};
}
NARU_SIMD F16 load_first(const float* p, int64_t n) {
  const M16 m = first_lanes(n);
  return {_mm256_maskload_ps(p, m.a), _mm256_maskload_ps(p + 8, m.b)};
}
NARU_SIMD void store(float* p, F16 x) {
  _mm256_storeu_ps(p, x.a);
  _mm256_storeu_ps(p + 8, x.b);
}
NARU_SIMD void store_first(float* p, F16 x, int64_t n) {
  const M16 m = first_lanes(n);
  _mm256_maskstore_ps(p, m.a, x.a);
  _mm256_maskstore_ps(p + 8, m.b, x.b);
}

NARU_SIMD I16 as_int(F16 x) {
  return {_mm256_castps_si256(x.a), _mm256_castps_si256(x.b)};
}
NARU_SIMD F16 as_float(I16 x) {
  return {_mm256_castsi256_ps(x.a), _mm256_castsi256_ps(x.b)};
}
NARU_SIMD F16 to_f32(I16 x) {
  return {_mm256_cvtepi32_ps(x.a), _mm256_cvtepi32_ps(x.b)};
}
NARU_SIMD I16 to_int(F16 x) {
  return {_mm256_cvtps_epi32(x.a), _mm256_cvtps_epi32(x.b)};
}

NARU_SIMD __m128i load_128(const void* p) {
  return _mm_loadu_si128(static_cast<const __m128i*>(p));
}
NARU_SIMD __m128i load_64(const void* p) {
  return _mm_loadl_epi64(static_cast<const __m128i*>(p));
}

NARU_SIMD F16 load_bf16(const uint16_t* p) {
  return as_float({_mm256_slli_epi32(_mm256_cvtepu16_epi32(load_128(p)), 16),
                   _mm256_slli_epi32(_mm256_cvtepu16_epi32(load_128(p + 8)), 16)});
}
NARU_SIMD F16 load_bf16_first(const uint16_t* p, int64_t n) {
  uint16_t all[16] = {};
  for (int64_t i = 0; i < n; ++i) all[i] = p[i];
  return load_bf16(all);
}
NARU_SIMD F16 load_f16(const uint16_t* p) {
  return {_mm256_cvtph_ps(load_128(p)), _mm256_cvtph_ps(load_128(p + 8))};
}
NARU_SIMD void store_bf16_bits(uint16_t* p, F16 x) {
  const I16 bits = as_int(x);
  const __m256i packed = _mm256_packus_epi32(_mm256_srli_epi32(bits.a, 16), _mm256_srli_epi32(bits.b, 16));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm256_permute4x64_epi64(packed, 0xd8));
}
NARU_SIMD void store_bf16_bits_first(uint16_t* p, F16 x, int64_t n) {
  uint16_t all[16];
  store_bf16_bits(all, x);
  for (int64_t i = 0; i < n; ++i) p[i] = all[i];
}

NARU_SIMD F16 add(F16 x, F16 y) {
  return {_mm256_add_ps(x.a, y.a), _mm256_add_ps(x.b, y.b)};
}
NARU_SIMD F16 sub(F16 x, F16 y) {
  return {_mm256_sub_ps(x.a, y.a), _mm256_sub_ps(x.b, y.b)};
}
NARU_SIMD F16 mul(F16 x, F16 y) {
  return {_mm256_mul_ps(x.a, y.a), _mm256_mul_ps(x.b, y.b)};
}
NARU_SIMD F16 div(F16 x, F16 y) {
  return {_mm256_div_ps(x.a, y.a), _mm256_div_ps(x.b, y.b)};
}
NARU_SIMD F16 fma(F16 x, F16 y, F16 z) {
  return {_mm256_fmadd_ps(x.a, y.a, z.a), _mm256_fmadd_ps(x.b, y.b, z.b)};
}
NARU_SIMD F16 sqrt(F16 x) {
  return {_mm256_sqrt_ps(x.a), _mm256_sqrt_ps(x.b)};
}
NARU_SIMD F16 rint(F16 x) {
  return {_mm256_round_ps(x.a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC),
          _mm256_round_ps(x.b, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}

NARU_SIMD I16 splat_int(int32_t i) {
  return {_mm256_set1_epi32(i), _mm256_set1_epi32(i)};
}
NARU_SIMD I16 load_int(const void* p) {
  const auto* q = static_cast<const __m256i*>(p);
  return {_mm256_loadu_si256(q), _mm256_loadu_si256(q + 1)};
}
NARU_SIMD I16 load_i8(const int8_t* p) {
  return {_mm256_cvtepi8_epi32(load_64(p)), _mm256_cvtepi8_epi32(load_64(p + 8))};
}
NARU_SIMD I16 load_u8(const uint8_t* p) {
  return {_mm256_cvtepu8_epi32(load_64(p)), _mm256_cvtepu8_epi32(load_64(p + 8))};
}
NARU_SIMD void store(void* p, I16 i) {
  auto* q = static_cast<__m256i*>(p);
  _mm256_storeu_si256(q, i.a);
  _mm256_storeu_si256(q + 1, i.b);
}
NARU_SIMD void store_first(void* p, I16 i, int64_t n) {
  const M16 m = first_lanes(n);
  _mm256_maskstore_epi32(static_cast<int*>(p), m.a, i.a);
  _mm256_maskstore_epi32(static_cast<int*>(p) + 8, m.b, i.b);
}
NARU_SIMD void store_i8(int8_t* p, I16 i) {
  const __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(i.a, i.b), 0xd8);
  const __m128i bytes = _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), bytes);
}

NARU_SIMD I16 add(I16 x, I16 y) {
  return {_mm256_add_epi32(x.a, y.a), _mm256_add_epi32(x.b, y.b)};
}
NARU_SIMD I16 sub(I16 x, I16 y) {
  return {_mm256_sub_epi32(x.a, y.a), _mm256_sub_epi32(x.b, y.b)};
}
NARU_SIMD I16 mul(I16 x, I16 y) {
  return {_mm256_mullo_epi32(x.a, y.a), _mm256_mullo_epi32(x.b, y.b)};
}
NARU_SIMD I16 bit_and(I16 x, I16 y) {
  return {_mm256_and_si256(x.a, y.a), _mm256_and_si256(x.b, y.b)};
}
NARU_SIMD I16 bit_or(I16 x, I16 y) {
  return {_mm256_or_si256(x.a, y.a), _mm256_or_si256(x.b, y.b)};
}
template <int kBits>
NARU_SIMD I16 shift_left(I16 x) {
  return {_mm256_slli_epi32(x.a, kBits), _mm256_slli_epi32(x.b, kBits)};
}
template <int kBits>
NARU_SIMD I16 shift_right(I16 x) {
  return {_mm256_srai_epi32(x.a, kBits), _mm256_srai_epi32(x.b, kBits)};
}
template <int kBits>
NARU_SIMD I16 shift_right_logical(I16 x) {
  return {_mm256_srli_epi32(x.a, kBits), _mm256_srli_epi32(x.b, kBits)};
}

NARU_SIMD M16 less(F16 x, F16 y) {
  return {_mm256_castps_si256(_mm256_cmp_ps(x.a, y.a, _CMP_LT_OQ)),
          _mm256_castps_si256(_mm256_cmp_ps(x.b, y.b, _CMP_LT_OQ))};
}
NARU_SIMD M16 less(I16 x, I16 y) {
  return {_mm256_cmpgt_epi32(y.a, x.a), _mm256_cmpgt_epi32(y.b, x.b)};
}
NARU_SIMD M16 equal(I16 x, I16 y) {
  return {_mm256_cmpeq_epi32(x.a, y.a), _mm256_cmpeq_epi32(x.b, y.b)};
}
NARU_SIMD M16 is_nan(F16 x) {
  return {_mm256_castps_si256(_mm256_cmp_ps(x.a, x.a, _CMP_UNORD_Q)),
          _mm256_castps_si256(_mm256_cmp_ps(x.b, x.b, _CMP_UNORD_Q))};
}
NARU_SIMD M16 both(M16 x, M16 y) {
  return {_mm256_and_si256(x.a, y.a), _mm256_and_si256(x.b, y.b)};
}
NARU_SIMD M16 either(M16 x, M16 y) {
  return {_mm256_or_si256(x.a, y.a), _mm256_or_si256(x.b, y.b)};
}
NARU_SIMD uint32_t mask_bits(M16 m) {
  const auto low = static_cast<uint32_t>(_mm256_movemask_ps(_mm256_castsi256_ps(m.a)));
  const auto high = static_cast<uint32_t>(_mm256_movemask_ps(_mm256_castsi256_ps(m.b)));
  return low | high << 8;
}
NARU_SIMD bool any(M16 m) {
  return mask_bits(m) != 0;
}
NARU_SIMD I16 select(M16 m, I16 x, I16 y) {
  return {_mm256_blendv_epi8(y.a, x.a, m.a), _mm256_blendv_epi8(y.b, x.b, m.b)};
}
NARU_SIMD F16 select(M16 m, F16 x, F16 y) {
  return as_float(select(m, as_int(x), as_int(y)));
}

NARU_SIMD F16 negate(F16 x) {
  const __m256 sign = _mm256_set1_ps(-0.0f);
  return {_mm256_xor_ps(x.a, sign), _mm256_xor_ps(x.b, sign)};
}
NARU_SIMD F16 flush(F16 x) {
  const I16 bits = as_int(x);
  const M16 tiny = equal(bit_and(bits, splat_int(0x7f800000)), splat_int(0));
  return as_float(select(tiny, bit_and(bits, splat_int(INT32_MIN)), bits));
}
NARU_SIMD F16 larger(F16 x, F16 y) {
  return {_mm256_max_ps(x.a, y.a), _mm256_max_ps(x.b, y.b)};
}
// vmaxps gives its second operand where one is NaN or both are zero, as a < b ? b : a does for a NaN in a.
NARU_SIMD F16 max(F16 x, F16 y) {
  return flush(select(is_nan(y), y, F16{_mm256_max_ps(y.a, x.a), _mm256_max_ps(y.b, x.b)}));
}

NARU_SIMD float first_lane(F16 x) {
  return _mm256_cvtss_f32(x.a);
}
NARU_SIMD float sum_lanes(F16 x) {
  const __m256 eight = _mm256_add_ps(x.a, x.b);
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

// (x0 y0 x1 y1 ...) from (x0 x1 ...) and (y0 y1 ...), as the first and the second sixteen; and back.
NARU_SIMD void interleave_8(__m256 x, __m256 y, F16& out) {
  const __m256 low = _mm256_unpacklo_ps(x, y), high = _mm256_unpackhi_ps(x, y);
  out = {_mm256_permute2f128_ps(low, high, 0x20), _mm256_permute2f128_ps(low, high, 0x31)};
}
NARU_SIMD void interleave(F16 x, F16 y, F16& first, F16& second) {
  interleave_8(x.a, y.a, first);
  interleave_8(x.b, y.b, second);
}
NARU_SIMD void deinterleave_8(F16 pairs, __m256& x, __m256& y) {
  const __m256 low = _mm256_permute2f128_ps(pairs.a, pairs.b, 0x20);
  const __m256 high = _mm256_permute2f128_ps(pairs.a, pairs.b, 0x31);
  x = _mm256_shuffle_ps(low, high, 0x88);
  y = _mm256_shuffle_ps(low, high, 0xdd);
}
NARU_SIMD void deinterleave(F16 first, F16 second, F16& x, F16& y) {
  deinterleave_8(first, x.a, y.a);
  deinterleave_8(second, x.b, y.b);
}

}  // namespace naru::cpu::NARU_LEVEL

#include "chips/cpu/kernels/simd_scalar.h"
