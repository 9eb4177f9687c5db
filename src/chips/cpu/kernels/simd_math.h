// Functions of sixteen lanes made of the vocabulary (simd.h, which includes this): rounding to bf16, exp, log and what
// activations are made of them. Each gives the bits of contract/scalar.h in every lane at every level, but where a name
// says "near": those are for the narrower range that they state.
#pragma once

#include <cstdint>

namespace naru::cpu::NARU_LEVEL {

NARU_INLINE F32x16 upper_halves(I32x16 x) {
  return as_f32(bit_and(x, splat_i32(static_cast<int32_t>(0xffff0000u))));
}
NARU_INLINE F32x16 lower_halves(I32x16 x) {
  return as_f32(shift_left<16>(x));
}

// Rounds to bf16, kept as f32.
NARU_INLINE F32x16 round_bf16(F32x16 x) {
  const I32x16 bits = as_i32(x);
  const I32x16 odd = bit_and(shift_right_logical<16>(bits), splat_i32(1));
  I32x16 rounded = bit_and(add(add(bits, splat_i32(0x7fff)), odd), splat_i32(static_cast<int32_t>(0xffff0000u)));
  const Boolx16 tiny = equal(bit_and(bits, splat_i32(0x7f800000)), splat_i32(0));
  rounded = select(tiny, bit_and(bits, splat_i32(INT32_MIN)), rounded);
  return as_f32(select(is_nan(x), splat_i32(0x7fc00000), rounded));
}

// The same where x is +0 or a normal number that does not overflow, or the NaN that an operation makes of numbers.
NARU_INLINE F32x16 round_bf16_near(F32x16 x) {
  const I32x16 bits = as_i32(x);
  const I32x16 odd = bit_and(shift_right_logical<16>(bits), splat_i32(1));
  return as_f32(bit_and(add(add(bits, splat_i32(0x7fff)), odd), splat_i32(static_cast<int32_t>(0xffff0000u))));
}

#if !defined(NARU_LANES_VNNI)
NARU_INLINE I32x16 pair_bf16(F32x16 lower, F32x16 upper) {
  return bit_or(shift_right_logical<16>(as_i32(round_bf16(lower))), as_i32(round_bf16(upper)));
}
#endif

// True where a value is infinite or NaN.
NARU_INLINE Boolx16 is_not_finite(F32x16 x) {
  return equal(bit_and(as_i32(x), splat_i32(0x7f800000)), splat_i32(0x7f800000));
}

namespace detail {
// The polynomial of exp on the reduced argument, and n, before n joins the exponent.
NARU_INLINE F32x16 exp_mantissa(F32x16 x, I32x16& n_out) {
  const F32x16 n = rint(mul(x, splat(0x1.715476p+0f)));
  F32x16 r = fma(n, splat(-0x1.62e4p-1f), x);
  r = fma(n, splat(-0x1.7f7d1cp-20f), r);
  F32x16 p = splat(1.98756915e-4f);
  p = fma(p, r, splat(1.3981999507e-3f));
  p = fma(p, r, splat(8.3334519073e-3f));
  p = fma(p, r, splat(4.1665795894e-2f));
  p = fma(p, r, splat(1.6666665459e-1f));
  p = fma(p, r, splat(5.0000001201e-1f));
  p = fma(p, r, splat(1.0f));
  p = fma(p, r, splat(1.0f));
  n_out = to_i32(n);
  return p;
}
}  // namespace detail

// contract::exp in every lane.
NARU_INLINE F32x16 exp(F32x16 x) {
  I32x16 n;
  const I32x16 bits = as_i32(detail::exp_mantissa(x, n));
  const I32x16 exponent = add(shift_right<23>(bits), n);
  const F32x16 infinity = as_f32(splat_i32(0x7f800000));
  F32x16 y = as_f32(add(bits, shift_left<23>(n)));
  y = select(less(exponent, splat_i32(1)), zero(), y);
  y = select(less(splat_i32(254), exponent), infinity, y);
  // Last, since n means nothing far outside of the range.
  y = select(less(x, splat(-88.0f)), zero(), y);
  y = select(less(splat(0x1.62e42ep+6f), x), infinity, y);
  return select(is_nan(x), x, y);
}

// exp where x is in [-80, 0] or NaN: no end of the exponent is near. A NaN stays one (its n is shifted out).
NARU_INLINE F32x16 exp_near(F32x16 x) {
  I32x16 n;
  const F32x16 p = detail::exp_mantissa(x, n);
  return as_f32(add(as_i32(p), shift_left<23>(n)));
}

// contract::log in every lane.
NARU_INLINE F32x16 log(F32x16 x) {
  x = flush(x);
  const I32x16 bits = as_i32(x);
  I32x16 e = sub(shift_right<23>(bits), splat_i32(127));
  F32x16 m = as_f32(bit_or(bit_and(bits, splat_i32(0x007fffff)), splat_i32(0x3f800000)));
  const Boolx16 high = less(splat(0x1.6a09e4p+0f), m);  // the f32 below 0x1.6a09e6p+0
  m = select(high, mul(m, splat(0.5f)), m);
  e = select(high, add(e, splat_i32(1)), e);
  const F32x16 f = sub(m, splat(1.0f));
  const F32x16 z = mul(f, f);
  F32x16 p = splat(7.0376836292e-2f);
  p = fma(p, f, splat(-1.151461031e-1f));
  p = fma(p, f, splat(1.1676998740e-1f));
  p = fma(p, f, splat(-1.2420140846e-1f));
  p = fma(p, f, splat(1.4249322787e-1f));
  p = fma(p, f, splat(-1.6668057665e-1f));
  p = fma(p, f, splat(2.0000714765e-1f));
  p = fma(p, f, splat(-2.4999993993e-1f));
  p = fma(p, f, splat(3.3333331174e-1f));
  F32x16 y = mul(mul(f, z), p);
  y = fma(to_f32(e), splat(-2.1219444e-4f), y);
  y = fma(splat(-0.5f), z, y);
  y = fma(to_f32(e), splat(0.693359375f), add(f, y));
  y = select(equal(bits, splat_i32(0x7f800000)), x, y);
  y = select(either(is_nan(x), less(x, zero())), as_f32(splat_i32(0x7fc00000)), y);
  const Boolx16 is_zero = equal(bit_and(bits, splat_i32(0x7fffffff)), splat_i32(0));
  return select(is_zero, as_f32(splat_i32(static_cast<int32_t>(0xff800000u))), y);
}

NARU_INLINE F32x16 sigmoid(F32x16 x) {
  return div(splat(1.0f), add(splat(1.0f), exp(negate(x))));
}
NARU_INLINE F32x16 silu(F32x16 x) {
  return div(flush(x), add(splat(1.0f), exp(negate(x))));
}

NARU_INLINE float exp(float x) {
  return first_lane(exp(splat(x)));
}
NARU_INLINE float log(float x) {
  return first_lane(log(splat(x)));
}

}  // namespace naru::cpu::NARU_LEVEL
