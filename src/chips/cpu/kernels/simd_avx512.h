// F16, I16 and M16 in one zmm register (see simd.h, which includes this).
#pragma once

// GCC 12 takes the deliberately undefined operands inside its own intrinsics for mistakes of the caller.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif

#include <bit>
#include <cmath>
#include <cstdint>

namespace naru::cpu::NARU_LEVEL {

struct F16 {
  __m512 v;
};
struct I16 {
  __m512i v;
};
struct M16 {
  __mmask16 v;
};

NARU_SIMD __mmask16 lane_mask(int64_t n) {
  return static_cast<__mmask16>((uint32_t{1} << n) - 1);
}
NARU_SIMD M16 first_lanes(int64_t n) {
  return {lane_mask(n)};
}

NARU_SIMD F16 zero() {
  return {_mm512_setzero_ps()};
}
NARU_SIMD F16 splat(float x) {
  return {_mm512_set1_ps(x)};
}
NARU_SIMD F16 load(const float* p) {
  return {_mm512_loadu_ps(p)};
}
NARU_SIMD F16 load_first(const float* p, int64_t n) {
  return {_mm512_maskz_loadu_ps(lane_mask(n), p)};
}
NARU_SIMD void store(float* p, F16 x) {
  _mm512_storeu_ps(p, x.v);
}
NARU_SIMD void store_first(float* p, F16 x, int64_t n) {
  _mm512_mask_storeu_ps(p, lane_mask(n), x.v);
}

NARU_SIMD F16 load_bf16(const uint16_t* p) {
  const __m256i half = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16))};
}
NARU_SIMD F16 load_bf16_first(const uint16_t* p, int64_t n) {
  const __m256i half = _mm256_maskz_loadu_epi16(lane_mask(n), p);
  return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16))};
}
NARU_SIMD F16 load_f16(const uint16_t* p) {
  return {_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))};
}
NARU_SIMD void store_bf16_bits(uint16_t* p, F16 x) {
  const __m512i high = _mm512_srli_epi32(_mm512_castps_si512(x.v), 16);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi32_epi16(high));
}
NARU_SIMD void store_bf16_bits_first(uint16_t* p, F16 x, int64_t n) {
  _mm512_mask_cvtepi32_storeu_epi16(p, lane_mask(n), _mm512_srli_epi32(_mm512_castps_si512(x.v), 16));
}

NARU_SIMD F16 add(F16 a, F16 b) {
  return {_mm512_add_ps(a.v, b.v)};
}
NARU_SIMD F16 sub(F16 a, F16 b) {
  return {_mm512_sub_ps(a.v, b.v)};
}
NARU_SIMD F16 mul(F16 a, F16 b) {
  return {_mm512_mul_ps(a.v, b.v)};
}
NARU_SIMD F16 div(F16 a, F16 b) {
  return {_mm512_div_ps(a.v, b.v)};
}
NARU_SIMD F16 fma(F16 a, F16 b, F16 c) {
  return {_mm512_fmadd_ps(a.v, b.v, c.v)};
}
NARU_SIMD F16 sqrt(F16 a) {
  return {_mm512_sqrt_ps(a.v)};
}
NARU_SIMD F16 rint(F16 a) {
  return {_mm512_roundscale_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}

NARU_SIMD I16 as_int(F16 a) {
  return {_mm512_castps_si512(a.v)};
}
NARU_SIMD F16 as_float(I16 a) {
  return {_mm512_castsi512_ps(a.v)};
}
NARU_SIMD F16 to_f32(I16 a) {
  return {_mm512_cvtepi32_ps(a.v)};
}
NARU_SIMD I16 to_int(F16 a) {
  return {_mm512_cvtps_epi32(a.v)};
}

NARU_SIMD I16 splat_int(int32_t i) {
  return {_mm512_set1_epi32(i)};
}
NARU_SIMD I16 load_int(const void* p) {
  return {_mm512_loadu_si512(p)};
}
NARU_SIMD I16 load_i8(const int8_t* p) {
  return {_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))};
}
NARU_SIMD I16 load_u8(const uint8_t* p) {
  return {_mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))};
}
NARU_SIMD void store(void* p, I16 i) {
  _mm512_storeu_si512(p, i.v);
}
NARU_SIMD void store_first(void* p, I16 i, int64_t n) {
  _mm512_mask_storeu_epi32(p, lane_mask(n), i.v);
}
NARU_SIMD void store_i8(int8_t* p, I16 i) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(i.v));
}

NARU_SIMD I16 add(I16 a, I16 b) {
  return {_mm512_add_epi32(a.v, b.v)};
}
NARU_SIMD I16 sub(I16 a, I16 b) {
  return {_mm512_sub_epi32(a.v, b.v)};
}
NARU_SIMD I16 mul(I16 a, I16 b) {
  return {_mm512_mullo_epi32(a.v, b.v)};
}
NARU_SIMD I16 bit_and(I16 a, I16 b) {
  return {_mm512_and_si512(a.v, b.v)};
}
NARU_SIMD I16 bit_or(I16 a, I16 b) {
  return {_mm512_or_si512(a.v, b.v)};
}
template <int kBits>
NARU_SIMD I16 shift_left(I16 a) {
  return {_mm512_slli_epi32(a.v, kBits)};
}
template <int kBits>
NARU_SIMD I16 shift_right(I16 a) {
  return {_mm512_srai_epi32(a.v, kBits)};
}
template <int kBits>
NARU_SIMD I16 shift_right_logical(I16 a) {
  return {_mm512_srli_epi32(a.v, kBits)};
}

NARU_SIMD M16 less(F16 a, F16 b) {
  return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ)};
}
NARU_SIMD M16 less(I16 a, I16 b) {
  return {_mm512_cmplt_epi32_mask(a.v, b.v)};
}
NARU_SIMD M16 equal(I16 a, I16 b) {
  return {_mm512_cmpeq_epi32_mask(a.v, b.v)};
}
NARU_SIMD M16 is_nan(F16 a) {
  return {_mm512_cmp_ps_mask(a.v, a.v, _CMP_UNORD_Q)};
}
NARU_SIMD M16 both(M16 a, M16 b) {
  return {static_cast<__mmask16>(a.v & b.v)};
}
NARU_SIMD M16 either(M16 a, M16 b) {
  return {static_cast<__mmask16>(a.v | b.v)};
}
NARU_SIMD bool any(M16 m) {
  return m.v != 0;
}
NARU_SIMD uint32_t mask_bits(M16 m) {
  return m.v;
}
NARU_SIMD F16 select(M16 m, F16 a, F16 b) {
  return {_mm512_mask_blend_ps(m.v, b.v, a.v)};
}
NARU_SIMD I16 select(M16 m, I16 a, I16 b) {
  return {_mm512_mask_blend_epi32(m.v, b.v, a.v)};
}

NARU_SIMD F16 negate(F16 a) {
  return as_float({_mm512_xor_si512(as_int(a).v, _mm512_set1_epi32(INT32_MIN))});
}
NARU_SIMD F16 flush(F16 a) {
  const __m512i bits = _mm512_castps_si512(a.v);
  const __mmask16 tiny = _mm512_testn_epi32_mask(bits, _mm512_set1_epi32(0x7f800000));
  return as_float({_mm512_mask_and_epi32(bits, tiny, bits, _mm512_set1_epi32(INT32_MIN))});
}
NARU_SIMD F16 larger(F16 a, F16 b) {
  return {_mm512_max_ps(a.v, b.v)};
}
// vmaxps gives its second operand where one is NaN or both are zero, as a < b ? b : a does for a NaN in a.
NARU_SIMD F16 max(F16 a, F16 b) {
  const __m512 larger = _mm512_max_ps(b.v, a.v);
  return flush({_mm512_mask_mov_ps(larger, _mm512_cmp_ps_mask(b.v, b.v, _CMP_UNORD_Q), b.v)});
}

NARU_SIMD float first_lane(F16 a) {
  return _mm512_cvtss_f32(a.v);
}
NARU_SIMD float sum_lanes(F16 a) {
  const __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(a.v), _mm512_extractf32x8_ps(a.v, 1));
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

// (a0 b0 a1 b1 ...) from (a0 a1 ...) and (b0 b1 ...), as the first and the second sixteen; and back.
NARU_SIMD void interleave(F16 a, F16 b, F16& first, F16& second) {
  const __m512i low = _mm512_set_epi32(23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  const __m512i high = _mm512_set_epi32(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8);
  first = {_mm512_permutex2var_ps(a.v, low, b.v)};
  second = {_mm512_permutex2var_ps(a.v, high, b.v)};
}
NARU_SIMD void deinterleave(F16 first, F16 second, F16& a, F16& b) {
  const __m512i even = _mm512_set_epi32(30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
  const __m512i odd = _mm512_set_epi32(31, 29, 27, 25, 23, 21, 19, 17, 15, 13, 11, 9, 7, 5, 3, 1);
  a = {_mm512_permutex2var_ps(first.v, even, second.v)};
  b = {_mm512_permutex2var_ps(first.v, odd, second.v)};
}

}  // namespace naru::cpu::NARU_LEVEL

#include "chips/cpu/kernels/simd_scalar.h"
