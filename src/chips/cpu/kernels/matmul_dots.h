// The integer dot of one row of activations with the N outputs of a vector, weights 0..kMax, four inputs a step; how a
// level forms it is inside.
//
// start() at an int32 (the compensation of the offset), step<i>() with the weights and the four activations of step
// i = 0, 1, ... of a block, finish() after the last; share() of the activations is for steps of several dots. Weights
// for step() come from prepare(): kMax 255 needs its sign apart where products of pairs saturate (u8 x s8 in int16).
#pragma once

#include "chips/cpu/kernels/simd.h"

namespace naru::cpu::NARU_LEVEL {

#if defined(NARU_BYTE_DOT)

template <int kMax>
struct Dots {
  using Weights = U8x4N;
  I32xN sum;
  NARU_INLINE static Weights prepare(U8x4N w) { return w; }
  NARU_INLINE static I8x4N share(const void* x) { return load_splat<I8x4N>(x); }
  NARU_INLINE void start(const void* init) { sum = load_splat<I32xN>(init); }
  NARU_INLINE void start_zero() { sum = zero<I32xN>(); }
  template <int kStep>
  NARU_INLINE void step(const Weights& w, const void* x) {
    sum = dot_bytes_splat(x, w, sum);
  }
  template <int kStep>
  NARU_INLINE void step(const Weights& w, I8x4N shared) {
    sum = dot_bytes(shared, w, sum);
  }
  NARU_INLINE I32xN finish() { return sum; }
};

#else

// The int16 lanes hold kRun steps: kRun * 2 * kMax * 127 <= 32767.
template <int kMax>
struct Dots {
  static constexpr int kRun = kMax <= 15 ? 8 : kMax <= 31 ? 4 : 2;
  static_assert(kRun * 2 * kMax * 127 <= 32767);
  using Weights = U8x4N;
  I32xN sum;
  I16x2N pairs;
  NARU_INLINE static Weights prepare(U8x4N w) { return w; }
  NARU_INLINE static const void* share(const void* x) { return x; }
  NARU_INLINE void start(const void* init) { sum = load_splat<I32xN>(init); }
  NARU_INLINE void start_zero() { sum = zero<I32xN>(); }
  template <int kStep>
  NARU_INLINE void step(const Weights& w, const void* x) {
    const I16x2N products = multiply_pairs(w, load_splat<I8x4N>(x));
    pairs = kStep % kRun == 0 ? products : add_16(pairs, products);
    if constexpr (kStep % kRun == kRun - 1) sum = add(sum, sum_pairs(pairs));
  }
  NARU_INLINE I32xN finish() { return sum; }
};

// Full-range weights: |w - 128| <= 128 times the activation under its sign, 2 * 128 * 127 <= 32767. The offset is
// taken off here, so start() ignores the compensation.
template <>
struct Dots<255> {
  using Weights = SplitSign;
  I32xN sum;
  NARU_INLINE static Weights prepare(U8x4N w) { return split_sign(w); }
  NARU_INLINE static const void* share(const void* x) { return x; }
  NARU_INLINE void start(const void*) { sum = zero<I32xN>(); }
  NARU_INLINE void start_zero() { sum = zero<I32xN>(); }
  template <int kStep>
  NARU_INLINE void step(const Weights& w, const void* x) {
    sum = add(sum, sum_pairs(multiply_pairs(w.magnitude, take_sign(w, load_splat<I8x4N>(x)))));
  }
  NARU_INLINE I32xN finish() { return sum; }
};

#endif

}  // namespace naru::cpu::NARU_LEVEL
