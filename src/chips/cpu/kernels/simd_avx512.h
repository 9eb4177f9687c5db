// The vocabulary of simd.h, which includes this, in zmm registers: sixteen lanes are one, as are the N = 16 lanes of
// F32xN and the like; truths are a mask register.
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
#include <type_traits>

namespace naru::cpu::NARU_LEVEL {

struct F32x16 {
  __m512 v;
};
struct I32x16 {
  __m512i v;
};
struct Boolx16 {
  __mmask16 v;
};

// One register: the bare type of the compiler. (Sixteen lanes as bare types, or these as structs, make GCC 12 allot the
// registers of the large loops in another way than the one that was measured.)
constexpr int kLanes = 16;
using F32xN [[gnu::vector_size(64)]] = float;
using I32xN [[gnu::vector_size(64)]] = long long;
using I16x2N = I32xN;
using U8x4N = I32xN;
using I8x4N = I32xN;

NARU_INLINE __mmask16 lane_mask(int64_t n) {
  return static_cast<__mmask16>((uint32_t{1} << n) - 1);
}
NARU_INLINE Boolx16 first_lanes(int64_t n) {
  return {lane_mask(n)};
}

NARU_INLINE F32x16 zero() {
  return {_mm512_setzero_ps()};
}
NARU_INLINE F32x16 splat(float x) {
  return {_mm512_set1_ps(x)};
}
NARU_INLINE I32x16 splat_i32(int32_t i) {
  return {_mm512_set1_epi32(i)};
}
NARU_INLINE F32x16 load(const float* p) {
  return {_mm512_loadu_ps(p)};
}
NARU_INLINE I32x16 load_i32(const void* p) {
  return {_mm512_loadu_si512(p)};
}
NARU_INLINE F32x16 load_first(const float* p, int64_t n) {
  return {_mm512_maskz_loadu_ps(lane_mask(n), p)};
}
NARU_INLINE void store(float* p, F32x16 x) {
  _mm512_storeu_ps(p, x.v);
}
NARU_INLINE void store(void* p, I32x16 i) {
  _mm512_storeu_si512(p, i.v);
}
NARU_INLINE void store_first(float* p, F32x16 x, int64_t n) {
  _mm512_mask_storeu_ps(p, lane_mask(n), x.v);
}

NARU_INLINE F32x16 add(F32x16 a, F32x16 b) {
  return {_mm512_add_ps(a.v, b.v)};
}
NARU_INLINE F32x16 sub(F32x16 a, F32x16 b) {
  return {_mm512_sub_ps(a.v, b.v)};
}
NARU_INLINE F32x16 mul(F32x16 a, F32x16 b) {
  return {_mm512_mul_ps(a.v, b.v)};
}
NARU_INLINE F32x16 div(F32x16 a, F32x16 b) {
  return {_mm512_div_ps(a.v, b.v)};
}
NARU_INLINE F32x16 fma(F32x16 a, F32x16 b, F32x16 c) {
  return {_mm512_fmadd_ps(a.v, b.v, c.v)};
}
NARU_INLINE F32x16 sqrt(F32x16 a) {
  return {_mm512_sqrt_ps(a.v)};
}
NARU_INLINE F32x16 rint(F32x16 a) {
  return {_mm512_roundscale_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}

NARU_INLINE I32x16 as_i32(F32x16 a) {
  return {_mm512_castps_si512(a.v)};
}
NARU_INLINE F32x16 as_f32(I32x16 a) {
  return {_mm512_castsi512_ps(a.v)};
}
NARU_INLINE F32x16 to_f32(I32x16 a) {
  return {_mm512_cvtepi32_ps(a.v)};
}
NARU_INLINE I32x16 to_i32(F32x16 a) {
  return {_mm512_cvtps_epi32(a.v)};
}

NARU_INLINE I32x16 add(I32x16 a, I32x16 b) {
  return {_mm512_add_epi32(a.v, b.v)};
}
NARU_INLINE I32x16 sub(I32x16 a, I32x16 b) {
  return {_mm512_sub_epi32(a.v, b.v)};
}
NARU_INLINE I32x16 bit_and(I32x16 a, I32x16 b) {
  return {_mm512_and_si512(a.v, b.v)};
}
NARU_INLINE I32x16 bit_or(I32x16 a, I32x16 b) {
  return {_mm512_or_si512(a.v, b.v)};
}
template <int kBits>
NARU_INLINE I32x16 shift_left(I32x16 a) {
  return {_mm512_slli_epi32(a.v, kBits)};
}
template <int kBits>
NARU_INLINE I32x16 shift_right(I32x16 a) {
  return {_mm512_srai_epi32(a.v, kBits)};
}
template <int kBits>
NARU_INLINE I32x16 shift_right_logical(I32x16 a) {
  return {_mm512_srli_epi32(a.v, kBits)};
}

NARU_INLINE Boolx16 less(F32x16 a, F32x16 b) {
  return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ)};
}
NARU_INLINE Boolx16 less(I32x16 a, I32x16 b) {
  return {_mm512_cmplt_epi32_mask(a.v, b.v)};
}
NARU_INLINE Boolx16 equal(I32x16 a, I32x16 b) {
  return {_mm512_cmpeq_epi32_mask(a.v, b.v)};
}
NARU_INLINE Boolx16 is_nan(F32x16 a) {
  return {_mm512_cmp_ps_mask(a.v, a.v, _CMP_UNORD_Q)};
}
NARU_INLINE Boolx16 both(Boolx16 a, Boolx16 b) {
  return {static_cast<__mmask16>(a.v & b.v)};
}
NARU_INLINE Boolx16 either(Boolx16 a, Boolx16 b) {
  return {static_cast<__mmask16>(a.v | b.v)};
}
NARU_INLINE bool any(Boolx16 m) {
  return m.v != 0;
}
NARU_INLINE uint32_t bits_of(Boolx16 m) {
  return m.v;
}
NARU_INLINE F32x16 select(Boolx16 m, F32x16 a, F32x16 b) {
  return {_mm512_mask_blend_ps(m.v, b.v, a.v)};
}
NARU_INLINE I32x16 select(Boolx16 m, I32x16 a, I32x16 b) {
  return {_mm512_mask_blend_epi32(m.v, b.v, a.v)};
}

NARU_INLINE F32x16 negate(F32x16 a) {
  return as_f32({_mm512_xor_si512(as_i32(a).v, _mm512_set1_epi32(INT32_MIN))});
}
NARU_INLINE F32x16 flush(F32x16 a) {
  const __m512i bits = _mm512_castps_si512(a.v);
  const __mmask16 tiny = _mm512_testn_epi32_mask(bits, _mm512_set1_epi32(0x7f800000));
  return as_f32({_mm512_mask_and_epi32(bits, tiny, bits, _mm512_set1_epi32(INT32_MIN))});
}
NARU_INLINE F32x16 larger(F32x16 a, F32x16 b) {
  return {_mm512_max_ps(a.v, b.v)};
}
// vmaxps gives its second operand where one is NaN or both are zero, as a < b ? b : a does for a NaN in a.
NARU_INLINE F32x16 max(F32x16 a, F32x16 b) {
  const __m512 larger = _mm512_max_ps(b.v, a.v);
  return flush({_mm512_mask_mov_ps(larger, _mm512_cmp_ps_mask(b.v, b.v, _CMP_UNORD_Q), b.v)});
}

NARU_INLINE float first_lane(F32x16 a) {
  return _mm512_cvtss_f32(a.v);
}
NARU_INLINE float sum_lanes(F32x16 a) {
  const __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(a.v), _mm512_extractf32x8_ps(a.v, 1));
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

NARU_INLINE float largest_lane(F32x16 a) {
  return _mm512_reduce_max_ps(a.v);
}

NARU_INLINE void interleave(F32x16 a, F32x16 b, F32x16& first, F32x16& second) {
  const __m512i low = _mm512_set_epi32(23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  const __m512i high = _mm512_set_epi32(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8);
  first = {_mm512_permutex2var_ps(a.v, low, b.v)};
  second = {_mm512_permutex2var_ps(a.v, high, b.v)};
}
NARU_INLINE void deinterleave(F32x16 first, F32x16 second, F32x16& a, F32x16& b) {
  const __m512i even = _mm512_set_epi32(30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
  const __m512i odd = _mm512_set_epi32(31, 29, 27, 25, 23, 21, 19, 17, 15, 13, 11, 9, 7, 5, 3, 1);
  a = {_mm512_permutex2var_ps(first.v, even, second.v)};
  b = {_mm512_permutex2var_ps(first.v, odd, second.v)};
}

#if defined(NARU_LANES_VNNI)
NARU_INLINE I32x16 pair_bf16(F32x16 lower, F32x16 upper) {
  // Another NaN than round_bf16's, which no product and no comparison of bits tells apart.
  const __m512i words = reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(upper.v, lower.v));
  alignas(64) static constexpr uint16_t kOrder[32] = {0, 16, 1, 17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
                                                      8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
  return {_mm512_permutexvar_epi16(_mm512_load_si512(kOrder), words)};
}
NARU_INLINE void store_bf16_pairs(uint32_t* p, F32x16 x) {
  const __m512i bits = as_i32(x).v;
  const __m256i pairs = _mm512_cvtepi64_epi32(_mm512_or_si512(bits, _mm512_srli_epi64(bits, 48)));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), pairs);
}
#endif

// ---- one register ----

template <typename V>
NARU_INLINE V zero() {
  if constexpr (std::is_same_v<V, F32xN>) {
    return _mm512_setzero_ps();
  } else {
    return _mm512_setzero_si512();
  }
}
template <typename V>
NARU_INLINE V load(const void* p) {
  if constexpr (std::is_same_v<V, F32xN>) {
    return _mm512_loadu_ps(p);
  } else {
    return _mm512_loadu_si512(p);
  }
}
template <typename V>
NARU_INLINE V load_splat(const void* p) {
  if constexpr (std::is_same_v<V, F32xN>) {
    return _mm512_set1_ps(*static_cast<const float*>(p));
  } else {
    return _mm512_set1_epi32(*static_cast<const int32_t*>(p));
  }
}
NARU_INLINE F32xN load_f16(const void* p) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(static_cast<const __m256i*>(p)));
}
NARU_INLINE F32xN load_bf16(const void* p) {
  const __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(static_cast<const __m256i*>(p)));
  return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
}
NARU_INLINE I32xN load_u8(const void* p) {
  return _mm512_cvtepu8_epi32(_mm_loadu_si128(static_cast<const __m128i*>(p)));
}
NARU_INLINE I32xN load_i8(const void* p) {
  return _mm512_cvtepi8_epi32(_mm_loadu_si128(static_cast<const __m128i*>(p)));
}
NARU_INLINE void store(float* p, F32xN x) {
  _mm512_storeu_ps(p, x);
}

NARU_INLINE F32xN add(F32xN a, F32xN b) {
  return _mm512_add_ps(a, b);
}
NARU_INLINE F32xN mul(F32xN a, F32xN b) {
  return _mm512_mul_ps(a, b);
}
NARU_INLINE F32xN fma(F32xN a, F32xN b, F32xN c) {
  return _mm512_fmadd_ps(a, b, c);
}
NARU_INLINE F32xN fnma(F32xN a, F32xN b, F32xN c) {
  return _mm512_fnmadd_ps(a, b, c);
}
// fma(load_splat(p), b, c) would share a register with its neighbours: fewer instructions to issue, more loads.
NARU_INLINE F32xN fma_splat(const void* p, F32xN b, F32xN c) {
  using Float [[gnu::may_alias]] = float;
  __asm__("vfmadd231ps %1%{1to16%}, %2, %0" : "+v"(c) : "m"(*static_cast<const Float*>(p)), "v"(b));
  return c;
}
NARU_INLINE F32xN to_f32(I32xN i) {
  return _mm512_cvtepi32_ps(i);
}
NARU_INLINE F32xN upper_halves(I32xN i) {
  return _mm512_castsi512_ps(_mm512_and_si512(i, _mm512_set1_epi32(static_cast<int>(0xffff0000u))));
}
NARU_INLINE F32xN lower_halves(I32xN i) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(i, 16));
}

NARU_INLINE U8x4N low_nibbles(U8x4N x) {
  return _mm512_and_si512(x, _mm512_set1_epi8(15));
}
NARU_INLINE U8x4N high_nibbles(U8x4N x) {
  return _mm512_and_si512(_mm512_srli_epi16(x, 4), _mm512_set1_epi8(15));
}
template <int kFrom, int kMask>
NARU_INLINE U8x4N put_above(U8x4N low, U8x4N plane) {
  const __m512i moved = kFrom > 4 ? _mm512_srli_epi16(plane, kFrom > 4 ? kFrom - 4 : 0)
                                  : _mm512_slli_epi16(plane, kFrom > 4 ? 0 : 4 - kFrom);
  return _mm512_ternarylogic_epi32(low, moved, _mm512_set1_epi8(kMask), 0xf8);  // a | (b & c)
}

#if defined(NARU_LANES_VNNI)

// GCC 12 copies the sums about where the intrinsics are given them: so these are none.
NARU_INLINE I32xN dot_bytes(I8x4N a, U8x4N w, I32xN sum) {
  __asm__("vpdpbusd %1, %2, %0" : "+v"(sum) : "v"(a), "v"(w));
  return sum;
}
NARU_INLINE I32xN dot_bytes_splat(const void* p, U8x4N w, I32xN sum) {
  using Int [[gnu::may_alias]] = int32_t;
  __asm__("vpdpbusd %1%{1to16%}, %2, %0" : "+v"(sum) : "m"(*static_cast<const Int*>(p)), "v"(w));
  return sum;
}
NARU_INLINE F32xN dot_bf16(I32xN a, I32xN w, F32xN sum) {
  __asm__("vdpbf16ps %1, %2, %0" : "+v"(sum) : "v"(a), "v"(w));
  return sum;
}

#else

NARU_INLINE I16x2N multiply_pairs(U8x4N w, I8x4N a) {
  return _mm512_maddubs_epi16(w, a);
}
NARU_INLINE I16x2N add_16(I16x2N a, I16x2N b) {
  return _mm512_add_epi16(a, b);
}
NARU_INLINE I32xN add(I32xN a, I32xN b) {
  return _mm512_add_epi32(a, b);
}
NARU_INLINE I32xN sum_pairs(I16x2N a) {
  return _mm512_madd_epi16(a, _mm512_set1_epi16(1));
}
struct SplitSign {
  U8x4N magnitude;
  __mmask64 is_negative;
};
NARU_INLINE SplitSign split_sign(U8x4N w) {
  const __m512i s = _mm512_xor_si512(w, _mm512_set1_epi8(static_cast<char>(0x80)));
  return {_mm512_abs_epi8(s), _mm512_movepi8_mask(s)};
}
NARU_INLINE I8x4N take_sign(const SplitSign& s, I8x4N a) {
  return _mm512_mask_sub_epi8(a, s.is_negative, _mm512_setzero_si512(), a);
}

#endif

}  // namespace naru::cpu::NARU_LEVEL

#include "chips/cpu/kernels/simd_scalar.h"
