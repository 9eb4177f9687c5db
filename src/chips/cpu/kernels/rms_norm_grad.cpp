// xh = x * r, g = dy * weight, c = (row sum of fma(g, xh)) / n, dx = r * fma(-xh, c, g); dweight gains the dot of dy
// and xh over rows. Rows first give r and c; then columns take dx and dweight together, since dx may be dy. Tasks are
// segments of rows where those are enough for the threads; else blocks of rows that stay in the caches are done one
// after the other, their r and c by rows and their columns by strips.
#include "chips/cpu/kernels/column_dots.h"

namespace naru::cpu::NARU_LEVEL {
namespace {

using contract::RmsNormGrad;

constexpr int64_t kGroup = 16;                // rows whose r and c are made in lanes
constexpr int64_t kGroupBytes = 32 * 1024;    // of x and dy, that the nearest cache keeps for a second pass
constexpr int64_t kBlockBytes = 1024 * 1024;  // the same of all caches of a core

// r and c of rows [begin, end).
void row_factors(const RmsNormGrad& op, int64_t begin, int64_t end, float* r, float* c) {
  const int64_t n = op.x.cols;
  const float* weight = f32(op.weight);
  const F32x16 count = splat(static_cast<float>(n));
  for (int64_t t = begin; t < end; t += kGroup) {
    const int64_t rows = end - t < kGroup ? end - t : kGroup;
    float sums[kGroup] = {};
    for (int64_t j = 0; j < rows; ++j) sums[j] = row_sum_of_squares(f32(op.x, t + j), n);
    store_first(r + t, div(splat(1.0f), sqrt(add(div(load(sums), count), splat(op.eps)))), rows);
    for (int64_t j = 0; j < rows; ++j) {
      const float* x = f32(op.x, t + j);
      const float* dy = f32(op.dy, t + j);
      const F32x16 inverse = splat(r[t + j]);
      sums[j] = row_reduce_at(n, [&](F32x16 lanes, int64_t i) {
        const F32x16 g = mul(load_at(dy, i, n), load_at(weight, i, n));
        return fma(g, mul(load_at(x, i, n), inverse), lanes);
      });
    }
    store_first(c + t, div(load(sums), count), rows);
  }
}

// dx of rows [t, t_end) in columns [begin, end), and their place in the chains of dweight, where `partial` is given.
void columns(const RmsNormGrad& op, int64_t t, int64_t t_end, int64_t begin, int64_t end, const float* r,
             const float* c, float* partial) {
  const int64_t n = op.x.cols, x_stride = op.x.row_stride, dy_stride = op.dy.row_stride, dx_stride = op.dx.row_stride;
  const float *weight = f32(op.weight), *x = f32(op.x), *dy = f32(op.dy);
  float* dx = f32(op.dx);
  for (; t < t_end; ++t) {
    const F32x16 inverse = splat(r[t]), share = splat(c[t]);
    const auto step = [&](F32x16 acc, int64_t row, int64_t i) {
      const F32x16 grad = load_at(dy + row * dy_stride, i, n);
      const F32x16 xh = mul(load_at(x + row * x_stride, i, n), inverse);
      const F32x16 g = mul(grad, load_at(weight, i, n));
      store_at(dx + row * dx_stride, i, n, mul(inverse, fma(negate(xh), share, g)));
      return fma(grad, xh, acc);
    };
    if (partial != nullptr) {
      chain_columns<1>(t, t + 1, begin, end, partial, step);
    } else {
      for (int64_t i = begin; i < end; i += 16) (void)step(zero(), t, i);
    }
  }
}

// Both passes over rows [begin, end), in groups of up to kGroup rows that stay in the nearest cache.
void both_passes(const RmsNormGrad& op, int64_t begin, int64_t end, float* r, float* c, float* partial) {
  const int64_t fitting = kGroupBytes / (8 * op.x.cols + 1);
  const int64_t group = fitting < 1 ? 1 : fitting < kGroup ? fitting : kGroup;
  for (int64_t t = begin; t < end; t += group) {
    const int64_t t_end = end - t < group ? end : t + group;
    row_factors(op, t, t_end, r, c);
    columns(op, t, t_end, 0, padded_columns(op.x.cols), r, c, partial);
  }
}

// One segment by all threads.
void segment_in_blocks(const RmsNormGrad& op, Work& work, int64_t begin, int64_t end, float* r, float* c,
                       float* partial) {
  const int64_t n = op.x.cols, stride = padded_columns(n), strip = strip_columns(work, end - begin, n, 1);
  const int64_t fitting = kBlockBytes / (8 * stride) / kGroup * kGroup * work.pool.n_threads();
  const int64_t block = fitting < 4 * kGroup ? 4 * kGroup : fitting;
  for (int64_t t = begin; t < end; t += block) {
    const int64_t t_end = end - t < block ? end : t + block;
    const int64_t n_groups = (t_end - t + kGroup - 1) / kGroup;
    for_row_ranges(work, n_groups, kGroup * n, [&](int64_t first, int64_t last, int) {
      const int64_t from = t + first * kGroup, to = t + last * kGroup;
      row_factors(op, from, t_end < to ? t_end : to, r, c);
    });
    work.pool.parallel_for((stride + strip - 1) / strip, [&](int64_t i, int) {
      columns(op, t, t_end, i * strip, stride < (i + 1) * strip ? stride : (i + 1) * strip, r, c, partial);
    });
  }
}

}  // namespace

template <>
Status run(const RmsNormGrad& op, Work& work, std::string_view* kernel) {
  const int64_t rows = op.x.rows, n = op.x.cols, n_segments = row_segments(rows), stride = padded_columns(n);
  auto* r = reinterpret_cast<float*>(
      work.shared.get(static_cast<size_t>(2 * padded_columns(rows) + n_segments * stride) * sizeof(float)));
  float* c = r + padded_columns(rows);
  if (op.dweight.empty()) {
    *kernel = "rows";
    for_row_ranges(work, rows, 2 * n,
                   [&](int64_t begin, int64_t end, int) { both_passes(op, begin, end, r, c, nullptr); });
    return {};
  }
  float* partials = c + padded_columns(rows);
  clear(partials, 0, n_segments * stride);
  const auto segment_end = [&](int64_t segment) {
    return rows - segment * kRowSegment < kRowSegment ? rows : (segment + 1) * kRowSegment;
  };
  const int n_threads = work.pool.n_threads();
  if (n_threads == 1 || n_segments >= 4 * n_threads || rows * n < 2 * kElementsPerTask) {
    *kernel = "segments";
    work.pool.parallel_for_near(n_segments, [&](int64_t segment, int) {
      both_passes(op, segment * kRowSegment, segment_end(segment), r, c, partials + segment * stride);
    });
  } else {
    *kernel = "strips";
    for (int64_t segment = 0; segment < n_segments; ++segment) {
      segment_in_blocks(op, work, segment * kRowSegment, segment_end(segment), r, c, partials + segment * stride);
    }
  }
  add_segments(partials, n_segments, f32(op.dweight), n);
  return {};
}

}  // namespace naru::cpu::NARU_LEVEL
