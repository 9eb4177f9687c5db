// Sums over rows: one of each column, added to what `out` holds; and of the S rows of each token.
#include "chips/cpu/kernels/column_dots.h"

namespace naru::cpu::NARU_LEVEL {

// A product with 1 is exact, so the fma of a dot with ones is an addition.
template <>
Status run(const contract::ColumnSum& op, Work& work, std::string_view* kernel) {
  *kernel = "strips";
  const int64_t rows = op.x.rows, n = op.x.cols;
  const int64_t n_segments = row_segments(rows), stride = padded_columns(n);
  const int64_t strip = strip_columns(work, rows, n, n_segments), n_strips = strip > 0 ? (n + strip - 1) / strip : 0;
  auto* partials = reinterpret_cast<float*>(work.shared.get(static_cast<size_t>(n_segments * stride) * sizeof(float)));
  work.pool.parallel_for(n_segments * n_strips, [&](int64_t task, int) {
    const int64_t segment = task / n_strips, begin = task % n_strips * strip, first = segment * kRowSegment;
    const int64_t end = stride - begin < strip ? stride : begin + strip;
    const int64_t last = rows - first < kRowSegment ? rows : first + kRowSegment;
    float* partial = partials + segment * stride;
    const float* x = f32(op.x);
    const int64_t row_stride = op.x.row_stride;
    clear(partial, begin, end);
    chain_columns<4>(first, last, begin, end, partial,
                     [&](F32x16 acc, int64_t t, int64_t i) { return add(acc, load_at(x + t * row_stride, i, n)); });
  });
  add_segments(partials, n_segments, f32(op.out), n);
  return {};
}

template <>
Status run(const contract::SumSlots& op, Work& work, std::string_view* kernel) {
  *kernel = "rows";
  const int64_t n = op.out.cols, n_slots = op.out.rows > 0 ? op.x.rows / op.out.rows : 0;
  for_row_ranges(work, op.out.rows, n * (n_slots + 1), [&](int64_t begin, int64_t end, int) {
    for (int64_t t = begin; t < end; ++t) {
      for_lanes(n, [&](int64_t i, int64_t) {
        F32x16 acc = zero();
        for (int64_t s = 0; s < n_slots; ++s) acc = add(acc, load_at(f32(op.x, t * n_slots + s), i, n));
        store_at(f32(op.out, t), i, n, acc);
      });
    }
  });
  return {};
}

}  // namespace naru::cpu::NARU_LEVEL
