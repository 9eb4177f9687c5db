// A block of 16 x 16 dwords, transposed in registers; pairs of bf16 values, made dwords.
#pragma once

#include "chips/cpu/kernels/simd.h"

namespace naru::cpu::NARU_LEVEL {

// The dwords that two vectors of bf16 values make: `first` in the upper halves.
NARU_INLINE I32x16 pair_dwords(F32x16 first, F32x16 second) {
  return bit_or(as_i32(first), shift_right_logical<16>(as_i32(second)));
}

// Rows of dwords become columns.
NARU_INLINE void transpose(F32x16 (&x)[16]) {
  // Four rounds of interleaving row i with row i + 8 move the bits of a dword's place around by one each.
  F32x16 y[16];
  for (int i = 0; i < 8; ++i) interleave(x[i], x[i + 8], y[2 * i], y[2 * i + 1]);
  for (int i = 0; i < 8; ++i) interleave(y[i], y[i + 8], x[2 * i], x[2 * i + 1]);
  for (int i = 0; i < 8; ++i) interleave(x[i], x[i + 8], y[2 * i], y[2 * i + 1]);
  for (int i = 0; i < 8; ++i) interleave(y[i], y[i + 8], x[2 * i], x[2 * i + 1]);
}

// The same from memory to memory.
NARU_INLINE void transpose_block(const float* from, int64_t from_stride, float* to, int64_t to_stride) {
  F32x16 x[16];
  for (int i = 0; i < 16; ++i) x[i] = load(from + i * from_stride);
  transpose(x);
  for (int i = 0; i < 16; ++i) store(to + i * to_stride, x[i]);
}

}  // namespace naru::cpu::NARU_LEVEL
