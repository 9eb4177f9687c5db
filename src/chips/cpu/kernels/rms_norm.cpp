// out = (x * r) * weight with r = 1 / sqrt(sum of squares / n + eps), row by row.
#include "chips/cpu/kernels/row_loops.h"
#include "chips/cpu/row_errors.h"

namespace naru::cpu::NARU_LEVEL {

template <>
Status run(const contract::RmsNorm& op, Work& work, std::string_view* kernel) {
  *kernel = "rows";
  const int64_t n = op.x.cols;
  const float* weight = f32(op.weight);
  BadIndices bad;
  for_row_ranges(work, op.x.rows, n, [&](int64_t begin, int64_t end, int) {
    for (int64_t t = begin; t < end; ++t) {
      const float* x = f32(op.x, t);
      float* out = f32(op.out, t);
      const float squares = row_sum_of_squares(x, n);
      if (!is_finite(squares)) {
        bad.report(t);
        continue;
      }
      const float mean = div(squares, static_cast<float>(n));
      const F32x16 r = splat(div(1.0f, sqrt(add(mean, op.eps))));
      for_lanes(n,
                [&](int64_t i, int64_t) { store_at(out, i, n, mul(mul(load_at(x, i, n), r), load_at(weight, i, n))); });
    }
  });
  if (!bad.found()) return {};
  const float squares = row_sum_of_squares(f32(op.x, bad.first()), n);
  return non_finite_rows("rms_norm", op.x.rows, bad, "sum of squares", squares);
}

}  // namespace naru::cpu::NARU_LEVEL
