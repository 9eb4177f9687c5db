// s = 1 / (1 + exp(-gate)), a = gate / (1 + exp(-gate)); dup = dy * a, dgate = (dy * up) * fma(a, 1 - s, s).
#include "chips/cpu/kernels/row_loops.h"

namespace naru::cpu::NARU_LEVEL {

template <>
Status run(const contract::SiluMulGrad& op, Work& work, std::string_view* kernel) {
  *kernel = "rows";
  const int64_t n = op.gate.cols;
  for_row_ranges(work, op.gate.rows, 6 * n, [&](int64_t begin, int64_t end, int) {
    for (int64_t t = begin; t < end; ++t) {
      const float* gate = f32(op.gate, t);
      const float* up = f32(op.up, t);
      const float* dy = f32(op.dy, t);
      float* dgate = f32(op.dgate, t);
      float* dup = f32(op.dup, t);
      for_lanes(n, [&](int64_t i, int64_t) {
        const F32x16 x = load_at(gate, i, n), grad = load_at(dy, i, n), one = splat(1.0f);
        const F32x16 divisor = add(one, exp(negate(x)));
        const F32x16 s = div(one, divisor), a = div(flush(x), divisor);
        const F32x16 out = mul(mul(grad, load_at(up, i, n)), fma(a, sub(one, s), s));
        store_at(dup, i, n, mul(grad, a));
        store_at(dgate, i, n, out);
      });
    }
  });
  return {};
}

}  // namespace naru::cpu::NARU_LEVEL
