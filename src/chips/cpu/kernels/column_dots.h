// Dots over rows, one a column, by the f32 rule: in each segment of 2048 rows a chain for each column, ascending, then
// the tree over segments. Lanes and threads split columns, threads segments too; nobody changes the order of a chain.
// Partial sums are rows of padded_columns(n) floats, one a segment, so that their loads and stores are whole.
#pragma once

#include "chips/cpu/kernels/row_loops.h"

namespace naru::cpu::NARU_LEVEL {

NARU_INLINE int64_t padded_columns(int64_t n) {
  return (n + 15) / 16 * 16;
}
NARU_INLINE int64_t row_segments(int64_t rows) {
  return (rows + kRowSegment - 1) / kRowSegment;
}

// How many columns a task takes, a multiple of 16: wide enough for the memory's streams, narrow enough that
// `n_segments` times the strips keep all threads busy.
NARU_INLINE int64_t strip_columns(const Work& work, int64_t rows, int64_t n, int64_t n_segments) {
  constexpr int64_t kWidest = 4096, kNarrowest = 32;
  const int64_t n_tasks = rows * n < 2 * kElementsPerTask ? 1 : 4 * work.pool.n_threads();
  int64_t strip = padded_columns(n) < kWidest ? padded_columns(n) : kWidest;
  while (strip > kNarrowest && n_segments * ((n + strip - 1) / strip) < n_tasks) strip = padded_columns(strip / 2);
  return strip;
}

// Takes rows [t, t_end) into the chains of columns [begin, end): step(acc, t, i) is acc with columns i to i + 15 of row
// t in it. kRows at a time, so that a partial sum is loaded and stored once for them; few enough that their lines do
// not meet in one set of the nearest cache, as rows of a power of two do.
template <int kRows, typename Step>
NARU_INLINE void chain_columns(int64_t t, int64_t t_end, int64_t begin, int64_t end, float* partial, const Step& step) {
  for (; t + kRows <= t_end; t += kRows) {
    for (int64_t i = begin; i < end; i += 16) {
      F32x16 acc = load(partial + i);
      for (int64_t j = 0; j < kRows; ++j) acc = step(acc, t + j, i);
      store(partial + i, acc);
    }
  }
  for (; t < t_end; ++t) {
    for (int64_t i = begin; i < end; i += 16) store(partial + i, step(load(partial + i), t, i));
  }
}

NARU_INLINE void clear(float* x, int64_t begin, int64_t end) {  // multiples of 16
  for (int64_t i = begin; i < end; i += 16) store(x + i, zero());
}

// The dots of columns i to i + 15, from the partial sums of all segments.
NARU_INLINE F32x16 join_segments(const float* partials, int64_t n_segments, int64_t stride, int64_t i) {
  TreeOf<F32x16> tree;
  for (int64_t segment = 0; segment < n_segments; ++segment) tree.push(load(partials + segment * stride + i));
  return tree.total();
}

// out[k] = out[k] + the dot of column k.
NARU_INLINE void add_segments(const float* partials, int64_t n_segments, float* out, int64_t n) {
  for_lanes(n, [&](int64_t i, int64_t) {
    store_at(out, i, n, add(load_at(out, i, n), join_segments(partials, n_segments, padded_columns(n), i)));
  });
}

}  // namespace naru::cpu::NARU_LEVEL
