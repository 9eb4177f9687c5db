// out = (x[target] - m) - log(sum of exp(x - m)) of each row. A row may be a whole vocabulary, so tasks are segments of
// rows: their maxima first, then their sums, then one tree a row.
#include "chips/cpu/kernels/row_loops.h"
#include "chips/cpu/row_errors.h"

namespace naru::cpu::NARU_LEVEL {
namespace {

// The lanes' sum of exp(x - m) of one segment.
NARU_INLINE float sum_of_exp(const float* x, int64_t n, float m) {
  const F32x16 shift = splat(m);
  F32x16 lanes = zero();
  for_lanes(n, [&](int64_t i, int64_t count) {
    const F32x16 e = exp(sub(load_at(x, i, n), shift));
    lanes = add(lanes, count == 16 ? e : select(first_lanes(count), e, zero()));
  });
  return sum_lanes(lanes);
}

}  // namespace

template <>
Status run(const contract::LogProb& op, Work& work, std::string_view* kernel) {
  *kernel = "segments";
  const int64_t rows = op.logits.rows, n = op.logits.cols;
  const int64_t n_segments = (n + kRowSegment - 1) / kRowSegment;
  auto* sums = reinterpret_cast<float*>(work.shared.get(static_cast<size_t>(rows * (n_segments + 1)) * sizeof(float)));
  float* maxima = sums + rows * n_segments;
  const auto segment_size = [&](int64_t segment) {
    const int64_t rest = n - segment * kRowSegment;
    return rest < kRowSegment ? rest : kRowSegment;
  };
  for_row_ranges(work, rows * n_segments, kRowSegment, [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t segment = i % n_segments;
      sums[i] = row_max(f32(op.logits, i / n_segments) + segment * kRowSegment, segment_size(segment));
    }
  });
  for (int64_t t = 0; t < rows; ++t) maxima[t] = row_max(sums + t * n_segments, n_segments);
  for_row_ranges(work, rows * n_segments, kRowSegment, [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t segment = i % n_segments, t = i / n_segments;
      sums[i] = sum_of_exp(f32(op.logits, t) + segment * kRowSegment, segment_size(segment), maxima[t]);
    }
  });
  BadIndices bad;
  for (int64_t t = 0; t < rows; ++t) {
    TreeSum tree;
    for (int64_t segment = 0; segment < n_segments; ++segment) tree.push(sums[t * n_segments + segment]);
    const float l = tree.total();
    if (!is_finite(maxima[t]) || !is_finite(l)) {
      bad.report(t);
      continue;
    }
    const int64_t target = *i32(op.targets, t);
    check_index("log_prob", target, n);
    *f32(op.out, t) = sub(sub(f32(op.logits, t)[target], maxima[t]), log(l));
  }
  if (!bad.found()) return {};
  return non_finite_rows("log_prob", rows, bad, "largest logit", maxima[bad.first()]);
}

}  // namespace naru::cpu::NARU_LEVEL
