// Rounds every element to bf16, kept as f32.
#include "chips/cpu/kernels/row_loops.h"

namespace naru::cpu::NARU_LEVEL {

template <>
Status run(const contract::RoundBF16& op, Work& work, std::string_view* kernel) {
  *kernel = "rows";
  const int64_t n = op.out.cols;
  for_row_ranges(work, op.out.rows, n, [&](int64_t begin, int64_t end, int) {
    for (int64_t t = begin; t < end; ++t) {
      const float* x = f32(op.x, t);
      float* out = f32(op.out, t);
      for_lanes(n, [&](int64_t i, int64_t) { store_at(out, i, n, round_bf16(load_at(x, i, n))); });
    }
  });
  return {};
}

}  // namespace naru::cpu::NARU_LEVEL
