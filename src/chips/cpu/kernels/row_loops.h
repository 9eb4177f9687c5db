// Loops over rows in steps of sixteen lanes: how work is cut over threads, and the sum and the max of a row
// (contract/rows.h) with vector lanes.
#pragma once

#include <cstdint>

#include "chips/cpu/kernels/declarations.h"
#include "chips/cpu/kernels/simd.h"

namespace naru::cpu::NARU_LEVEL {

// A thread is woken for no less than about this many elements.
constexpr int64_t kElementsPerTask = 8192;

// body(row_begin, row_end, thread) over all rows, by tasks of equally many rows and about kElementsPerTask elements;
// where there are several, about as many for each thread.
template <typename Body>
void for_row_ranges(Work& work, int64_t rows, int64_t elements_per_row, const Body& body) {
  const int64_t elements = rows * elements_per_row, threads = work.pool.n_threads();
  const int64_t wanted = (elements + kElementsPerTask - 1) / kElementsPerTask;
  const int64_t cut = wanted <= 1 ? 1 : (wanted + threads - 1) / threads * threads;
  const int64_t per_task = cut >= rows ? 1 : (rows + cut - 1) / cut;
  if (rows <= per_task || cut == 1) {
    if (rows > 0) body(int64_t{0}, rows, 0);
    return;
  }
  const int64_t n_tasks = (rows + per_task - 1) / per_task;
  work.pool.parallel_for_near(n_tasks, [&](int64_t task, int thread) {
    const int64_t begin = task * per_task;
    body(begin, begin + per_task < rows ? begin + per_task : rows, thread);
  });
}

// body(row, begin, end) over columns [begin, end) of every row, in chunks of at most kElementsPerTask. Where the rows
// of all operands lie close together (is_contiguous), they are one row: row 0, of rows * cols columns.
template <typename Body>
void for_elements(Work& work, int64_t rows, int64_t cols, bool is_flat, const Body& body) {
  if (is_flat && rows > 0) cols *= rows, rows = 1;
  const int64_t n_chunks = (cols + kElementsPerTask - 1) / kElementsPerTask;
  for_row_ranges(work, rows * n_chunks, n_chunks > 1 ? kElementsPerTask : cols, [&](int64_t first, int64_t last, int) {
    for (int64_t i = first; i < last; ++i) {
      const int64_t begin = i % n_chunks * kElementsPerTask;
      body(i / n_chunks, begin, cols - begin < kElementsPerTask ? cols : begin + kElementsPerTask);
    }
  });
}

// The pieces of an item of a list: `n` of them, each as much work as `elements` elements.
struct Pieces {
  int64_t n = 0;
  int64_t elements = 0;
};

// body(item, begin, end) over pieces [begin, end) of every item of a list, by tasks of about kElementsPerTask elements,
// whatever the sizes of the items. `starts` is memory for n_items + 1 numbers.
template <typename PiecesOf, typename Body>
void for_list(Work& work, int64_t n_items, int64_t* starts, const PiecesOf& pieces_of, const Body& body) {
  starts[0] = 0;
  for (int64_t i = 0; i < n_items; ++i) {
    const Pieces pieces = pieces_of(i);
    starts[i + 1] = starts[i] + pieces.n * pieces.elements;
  }
  const int64_t total = starts[n_items];
  work.pool.parallel_for((total + kElementsPerTask - 1) / kElementsPerTask, [&](int64_t task, int) {
    const int64_t begin = task * kElementsPerTask;
    const int64_t end = total - begin < kElementsPerTask ? total : begin + kElementsPerTask;
    int64_t item = 0;  // the last one that starts at or before `begin`
    for (int64_t after = n_items; after - item > 1;) {
      const int64_t middle = item + (after - item) / 2;
      (starts[middle] <= begin ? item : after) = middle;
    }
    for (; item < n_items && starts[item] < end; ++item) {
      const Pieces pieces = pieces_of(item);
      if (pieces.n * pieces.elements == 0) continue;
      // A piece belongs to the task in which it starts.
      const auto piece_at = [&](int64_t element) {
        const int64_t piece = (element - starts[item] + pieces.elements - 1) / pieces.elements;
        return piece < 0 ? 0 : piece < pieces.n ? piece : pieces.n;
      };
      const int64_t first = begin <= starts[item] ? 0 : piece_at(begin), last = piece_at(end);
      if (first < last) body(item, first, last);
    }
  });
}

NARU_INLINE bool is_contiguous(const View& view) {
  return view.rows <= 1 || view.row_stride == view.cols;
}

NARU_INLINE F32x16 load_at(const float* x, int64_t i, int64_t n) {
  return i + 16 <= n ? load(x + i) : load_first(x + i, n - i);
}
NARU_INLINE void store_at(float* x, int64_t i, int64_t n, F32x16 v) {
  if (i + 16 <= n) {
    store(x + i, v);
  } else {
    store_first(x + i, v, n - i);
  }
}

// body(i, count) for i = 0, 16, ... below n; `count` is 16 but for the last.
template <typename Body>
NARU_INLINE void for_lanes(int64_t n, const Body& body) {
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) body(i, int64_t{16});
  if (i < n) body(i, n - i);
}

constexpr int64_t kRowSegment = 2048;

// contract::SegmentSum by this level's additions, of floats or of sixteen lanes at once.
template <typename Value>
class TreeOf {
 public:
  NARU_INLINE void push(Value value) {
    int level = 0;
    for (uint32_t n = count_; (n & 1u) != 0; n >>= 1) value = NARU_LEVEL::add(partial_[level++], value);
    partial_[level] = value;
    ++count_;
  }
  NARU_INLINE Value total() const {
    Value sum{};
    bool is_first = true;
    for (int level = 0; count_ >> level != 0; ++level) {
      if ((count_ >> level & 1u) == 0) continue;
      sum = is_first ? partial_[level] : NARU_LEVEL::add(partial_[level], sum);
      is_first = false;
    }
    return NARU_LEVEL::add(sum, Value{});
  }

 private:
  Value partial_[32];
  uint32_t count_ = 0;
};
using TreeSum = TreeOf<float>;

// sum_of(begin, end) is that of a segment. Most rows are one.
template <typename SumOf>
NARU_INLINE float sum_segments_of_row(int64_t n, const SumOf& sum_of) {
  if (n <= kRowSegment) return NARU_LEVEL::add(sum_of(int64_t{0}, n), 0.0f);
  TreeSum sum;
  for (int64_t begin = 0; begin < n; begin += kRowSegment)
    sum.push(sum_of(begin, n - begin < kRowSegment ? n : begin + kRowSegment));
  return sum.total();
}

// Sum of a row where step(lanes, x) adds sixteen elements; elements past the end read as +0, which changes no lane.
template <typename Step>
NARU_INLINE float row_reduce(const float* x, int64_t n, const Step& step) {
  return sum_segments_of_row(
      n, [&](int64_t begin, int64_t end) __attribute__((always_inline)) {
        F32x16 lanes = zero();
        int64_t i = begin;
        for (; i + 16 <= end; i += 16) lanes = step(lanes, load(x + i));
        if (i < end) lanes = step(lanes, load_first(x + i, end - i));
        return sum_lanes(lanes);
      });
}

// The same where step(lanes, i) adds the elements at i to i + 15; what it gives for elements past the end is dropped.
template <typename Step>
NARU_INLINE float row_reduce_at(int64_t n, const Step& step) {
  return sum_segments_of_row(
      n, [&](int64_t begin, int64_t end) __attribute__((always_inline)) {
        F32x16 lanes = zero();
        int64_t i = begin;
        for (; i + 16 <= end; i += 16) lanes = step(lanes, i);
        if (i < end) lanes = select(first_lanes(end - i), step(lanes, i), lanes);
        return sum_lanes(lanes);
      });
}

NARU_INLINE float row_sum(const float* x, int64_t n) {
  return row_reduce(x, n, [](F32x16 lanes, F32x16 v) { return add(lanes, v); });
}
NARU_INLINE float row_sum_of_squares(const float* x, int64_t n) {
  return row_reduce(x, n, [](F32x16 lanes, F32x16 v) { return fma(v, v, lanes); });
}

NARU_INLINE float max_lanes(F32x16 v) {
  return NARU_LEVEL::add(largest_lane(v), 0.0f);
}

// The largest of n >= 1 elements; NaN when there is one; never -0. Four at a time, since no order counts here.
NARU_INLINE float row_max(const float* x, int64_t n) {
  F32x16 m[4];
  for (F32x16& v : m) v = splat(x[0]);
  Boolx16 wrong = is_nan(m[0]);
  int64_t i = 0;
  for (; i + 64 <= n; i += 64) {
    for (int64_t j = 0; j < 4; ++j) {
      const F32x16 v = load(x + i + 16 * j);
      wrong = either(wrong, is_nan(v));
      m[j] = larger(v, m[j]);
    }
  }
  for (; i < n; i += 16) {
    const F32x16 v = i + 16 <= n ? load(x + i) : select(first_lanes(n - i), load_first(x + i, n - i), m[0]);
    wrong = either(wrong, is_nan(v));
    m[0] = larger(v, m[0]);
  }
  if (any(wrong)) return __builtin_bit_cast(float, 0x7fc00000u);
  return max_lanes(larger(larger(m[0], m[1]), larger(m[2], m[3])));
}

// The same where elements are results of operations (no subnormal among them), in fewer instructions.
NARU_INLINE float score_max(const float* x, int64_t n) {
  F32x16 m = splat(x[0]);
  Boolx16 wrong = is_nan(m);
  for_lanes(n, [&](int64_t i, int64_t count) {
    const F32x16 v = count == 16 ? load(x + i) : select(first_lanes(count), load_first(x + i, count), splat(x[0]));
    wrong = either(wrong, is_nan(v));
    m = larger(v, m);
  });
  return any(wrong) ? __builtin_bit_cast(float, 0x7fc00000u) : max_lanes(m);
}

NARU_INLINE bool is_finite(float x) {
  return (__builtin_bit_cast(uint32_t, x) & 0x7f800000u) != 0x7f800000u;
}

}  // namespace naru::cpu::NARU_LEVEL
