// out = residual + ((the chosen experts' outputs by their gates, ascending) + the shared expert's).
#include "chips/cpu/kernels/row_loops.h"

namespace naru::cpu::NARU_LEVEL {

template <>
Status run(const contract::Combine& op, Work& work, std::string_view* kernel) {
  *kernel = "rows";
  const int64_t n = op.out.cols, n_chosen = op.gates.cols;
  const bool has_shared = !op.shared.empty();
  for_row_ranges(work, op.out.rows, n * (n_chosen + 2), [&](int64_t begin, int64_t end, int) {
    for (int64_t t = begin; t < end; ++t) {
      const float* gates = f32(op.gates, t);
      const float* residual = f32(op.residual, t);
      float* out = f32(op.out, t);
      for_lanes(n, [&](int64_t i, int64_t) {
        F32x16 acc = zero();
        for (int64_t s = 0; s < n_chosen; ++s)
          acc = fma(splat(gates[s]), load_at(f32(op.y, t * n_chosen + s), i, n), acc);
        if (has_shared) acc = add(acc, load_at(f32(op.shared, t), i, n));
        store_at(out, i, n, add(load_at(residual, i, n), acc));
      });
    }
  });
  return {};
}

}  // namespace naru::cpu::NARU_LEVEL
