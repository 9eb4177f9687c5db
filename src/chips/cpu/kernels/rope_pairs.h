// Loops over the pairs of rotated rows, in both layouts: what `rotate` makes of a pair (a, b) with cosine c and sine s
// takes its place. In place is fine.
#pragma once

#include "chips/cpu/kernels/row_loops.h"

namespace naru::cpu::NARU_LEVEL {

struct Pair {
  F32x16 a, b;
};

template <typename Rotate>
NARU_INLINE void rotate_halves(const float* x, float* out, const float* cos, const float* sin, int64_t n,
                               const Rotate& rotate) {
  for_lanes(n, [&](int64_t i, int64_t) {
    const Pair r = rotate(load_at(x, i, n), load_at(x + n, i, n), load_at(cos, i, n), load_at(sin, i, n));
    store_at(out, i, n, r.a);
    store_at(out + n, i, n, r.b);
  });
}

template <typename Rotate>
NARU_INLINE void rotate_neighbours(const float* x, float* out, const float* cos, const float* sin, int64_t n,
                                   const Rotate& rotate) {
  for_lanes(n, [&](int64_t i, int64_t count) {
    const int64_t begin = 2 * i, end = 2 * n;
    const bool has_second = count > 8;
    F32x16 a, b, first, second;
    deinterleave(load_at(x, begin, end), has_second ? load_at(x, begin + 16, end) : zero(), a, b);
    const Pair r = rotate(a, b, load_at(cos, i, n), load_at(sin, i, n));
    interleave(r.a, r.b, first, second);
    store_at(out, begin, end, first);
    if (has_second) store_at(out, begin + 16, end, second);
  });
}

// All rows of x; row i takes the angles of token i / rows_per_token.
template <typename Rotate>
void rotate_rows(Work& work, const View& x, const View& out, const View& cos, const View& sin, int64_t rows_per_token,
                 bool is_interleaved, const Rotate& rotate) {
  for_row_ranges(work, x.rows, x.cols, [&](int64_t begin, int64_t end, int) {
    for (int64_t row = begin; row < end; ++row) {
      const int64_t t = row / rows_per_token;
      if (is_interleaved) {
        rotate_neighbours(f32(x, row), f32(out, row), f32(cos, t), f32(sin, t), cos.cols, rotate);
      } else {
        rotate_halves(f32(x, row), f32(out, row), f32(cos, t), f32(sin, t), cos.cols, rotate);
      }
    }
  });
}

}  // namespace naru::cpu::NARU_LEVEL
