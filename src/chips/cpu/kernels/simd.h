// Sixteen lanes, the width of every loop in these kernels: F16 (f32), I16 (int32) and M16 (one truth a lane), with the
// same functions at every level. One implementation is chosen by the level that this file is compiled for; each gives
// the bits of contract/scalar.h in every lane:
//   avx512, avx512vnni, amx   one zmm register        simd_avx512.h
//   avx2                      two ymm registers       simd_avx2.h
//   baseline                  an array                simd_portable.h
// The vector levels need flush-to-zero and denormals-are-zero set in MXCSR (the chip sets them on its threads);
// baseline does not. Functions of plain floats follow the same rules: kernels use these instead of contract/scalar.h,
// whose inline functions are shared between levels and must not carry one level's instructions.
//
// Beware of compilers: x * 1 and x - 0 are folded to x, which loses the flush. flush() is always safe.
#pragma once

#include <cstdint>

// Everything here is inlined, in debug builds too.
#define NARU_SIMD [[gnu::always_inline]] inline

#if defined(NARU_LEVEL_avx512) || defined(NARU_LEVEL_avx512vnni) || defined(NARU_LEVEL_amx)
#include "chips/cpu/kernels/simd_avx512.h"
#elif defined(NARU_LEVEL_avx2)
#include "chips/cpu/kernels/simd_avx2.h"
#else
#include "chips/cpu/kernels/simd_portable.h"
#endif

namespace naru::cpu::NARU_LEVEL {

// Names that the three implementations define, with M16 masks and n in [0, 16]:
//   F16 zero(), splat(float), load(p), load_first(p, n) (the rest +0), load_bf16(p), load_bf16_first(p, n), load_f16(p)
//   store(p, x), store_first(p, x, n)
//   add sub mul div fma sqrt rint negate flush, max(a, b) where NaN wins, larger(a, b) for numbers
//   I16 splat_int(i), load_int(p), load_i8(p), load_u8(p), store(p, i), store_first(p, i, n), store_i8(p, i)
//   I16 add, sub, mul, bit_and, bit_or, shift_left<N>, shift_right<N> (with sign), shift_right_logical<N>
//   as_int(F16), as_float(I16) bits; to_f32(I16) nearest even; to_int(F16) of integral values
//   M16 less(a, b), less(i, j), equal(i, j), is_nan(x), first_lanes(n), both(m, m), either(m, m), any(m), mask_bits(m)
//   select(m, a, b): a where true; sum_lanes(F16): i+8, i+4, i+2, i+1; interleave and deinterleave pairs of vectors
//   store_bf16_bits(p, x), store_bf16_bits_first(p, x, n): the upper halves of values that are bf16 already

// Rounds to bf16, kept as f32.
NARU_SIMD F16 round_bf16(F16 x) {
  const I16 bits = as_int(x);
  const I16 odd = bit_and(shift_right_logical<16>(bits), splat_int(1));
  I16 rounded = bit_and(add(add(bits, splat_int(0x7fff)), odd), splat_int(static_cast<int32_t>(0xffff0000u)));
  const M16 tiny = equal(bit_and(bits, splat_int(0x7f800000)), splat_int(0));
  rounded = select(tiny, bit_and(bits, splat_int(INT32_MIN)), rounded);
  return as_float(select(is_nan(x), splat_int(0x7fc00000), rounded));
}

// The same where x is +0 or a normal number that does not overflow, or the NaN that an operation makes of numbers.
NARU_SIMD F16 round_bf16_near(F16 x) {
  const I16 bits = as_int(x);
  const I16 odd = bit_and(shift_right_logical<16>(bits), splat_int(1));
  return as_float(bit_and(add(add(bits, splat_int(0x7fff)), odd), splat_int(static_cast<int32_t>(0xffff0000u))));
}

NARU_SIMD void store_bf16(uint16_t* p, F16 x) {
  store_bf16_bits(p, round_bf16(x));
}
NARU_SIMD void store_bf16_first(uint16_t* p, F16 x, int64_t n) {
  store_bf16_bits_first(p, round_bf16(x), n);
}

// True where a value is infinite or NaN.
NARU_SIMD M16 is_not_finite(F16 x) {
  return equal(bit_and(as_int(x), splat_int(0x7f800000)), splat_int(0x7f800000));
}

namespace detail {
// The polynomial of exp on the reduced argument, and n, before n joins the exponent.
NARU_SIMD F16 exp_mantissa(F16 x, I16& n_out) {
  const F16 n = rint(mul(x, splat(0x1.715476p+0f)));
  F16 r = fma(n, splat(-0x1.62e4p-1f), x);
  r = fma(n, splat(-0x1.7f7d1cp-20f), r);
  F16 p = splat(1.98756915e-4f);
  p = fma(p, r, splat(1.3981999507e-3f));
  p = fma(p, r, splat(8.3334519073e-3f));
  p = fma(p, r, splat(4.1665795894e-2f));
  p = fma(p, r, splat(1.6666665459e-1f));
  p = fma(p, r, splat(5.0000001201e-1f));
  p = fma(p, r, splat(1.0f));
  p = fma(p, r, splat(1.0f));
  n_out = to_int(n);
  return p;
}
}  // namespace detail

// contract::exp in every lane.
NARU_SIMD F16 exp(F16 x) {
  I16 n;
  const I16 bits = as_int(detail::exp_mantissa(x, n));
  const I16 exponent = add(shift_right<23>(bits), n);
  const F16 infinity = as_float(splat_int(0x7f800000));
  F16 y = as_float(add(bits, shift_left<23>(n)));
  y = select(less(exponent, splat_int(1)), zero(), y);
  y = select(less(splat_int(254), exponent), infinity, y);
  // Last, since n means nothing far outside of the range.
  y = select(less(x, splat(-88.0f)), zero(), y);
  y = select(less(splat(0x1.62e42ep+6f), x), infinity, y);
  return select(is_nan(x), x, y);
}

// exp where x is in [-80, 0] or NaN: no end of the exponent is near. A NaN stays one (its n is shifted out).
NARU_SIMD F16 exp_near(F16 x) {
  I16 n;
  const F16 p = detail::exp_mantissa(x, n);
  return as_float(add(as_int(p), shift_left<23>(n)));
}

// contract::log in every lane.
NARU_SIMD F16 log(F16 x) {
  x = flush(x);
  const I16 bits = as_int(x);
  I16 e = sub(shift_right<23>(bits), splat_int(127));
  F16 m = as_float(bit_or(bit_and(bits, splat_int(0x007fffff)), splat_int(0x3f800000)));
  const M16 high = less(splat(0x1.6a09e4p+0f), m);  // the f32 below 0x1.6a09e6p+0
  m = select(high, mul(m, splat(0.5f)), m);
  e = select(high, add(e, splat_int(1)), e);
  const F16 f = sub(m, splat(1.0f));
  const F16 z = mul(f, f);
  F16 p = splat(7.0376836292e-2f);
  p = fma(p, f, splat(-1.151461031e-1f));
  p = fma(p, f, splat(1.1676998740e-1f));
  p = fma(p, f, splat(-1.2420140846e-1f));
  p = fma(p, f, splat(1.4249322787e-1f));
  p = fma(p, f, splat(-1.6668057665e-1f));
  p = fma(p, f, splat(2.0000714765e-1f));
  p = fma(p, f, splat(-2.4999993993e-1f));
  p = fma(p, f, splat(3.3333331174e-1f));
  F16 y = mul(mul(f, z), p);
  y = fma(to_f32(e), splat(-2.1219444e-4f), y);
  y = fma(splat(-0.5f), z, y);
  y = fma(to_f32(e), splat(0.693359375f), add(f, y));
  y = select(equal(bits, splat_int(0x7f800000)), x, y);
  y = select(either(is_nan(x), less(x, zero())), as_float(splat_int(0x7fc00000)), y);
  const M16 is_zero = equal(bit_and(bits, splat_int(0x7fffffff)), splat_int(0));
  return select(is_zero, as_float(splat_int(static_cast<int32_t>(0xff800000u))), y);
}

NARU_SIMD F16 sigmoid(F16 x) {
  return div(splat(1.0f), add(splat(1.0f), exp(negate(x))));
}
NARU_SIMD F16 silu(F16 x) {
  return div(flush(x), add(splat(1.0f), exp(negate(x))));
}

NARU_SIMD float exp(float x) {
  return first_lane(exp(splat(x)));
}
NARU_SIMD float log(float x) {
  return first_lane(log(splat(x)));
}

}  // namespace naru::cpu::NARU_LEVEL
