// Loss and gradient of rows of logits. A row is one task: its maximum, its exponentials (kept in dlogits) with their
// sum, then their quotients. A row and its gradient stay in a core's cache meanwhile, so memory sees each once.
#include "chips/cpu/kernels/row_loops.h"
#include "chips/cpu/row_errors.h"

namespace naru::cpu::NARU_LEVEL {
namespace {

using contract::CrossEntropy;

// contract::exp where x <= 0, not NaN: only the low end of the exponent is near, and what lies far below it is as good
// as -89, whose exponential is +0.
NARU_SIMD F16 exp_of_shifted(F16 x) {
  I16 n;
  const I16 bits = as_int(detail::exp_mantissa(larger(x, splat(-89.0f)), n));
  const I16 y = add(bits, shift_left<23>(n));
  return as_float(select(less(y, splat_int(0x00800000)), splat_int(0), y));
}

// l, the row sum of exp(x - m); the exponentials go to `e` unless that is null, where e may be x.
NARU_SIMD float exponentials(const float* x, int64_t n, float m, float* e) {
  const F16 shift = splat(m);
  return row_reduce_at(n, [&](F16 lanes, int64_t i) {
    const F16 value = exp_of_shifted(sub(load_at(x, i, n), shift));
    if (e != nullptr) store_at(e, i, n, value);
    return add(lanes, value);
  });
}

// (e / l - [k == target]) * weight in place of e.
NARU_SIMD void row_grad(float* e, int64_t n, float l, int64_t target, float weight) {
  if (weight == 0.0f) {
    for_lanes(n, [&](int64_t i, int64_t) { store_at(e, i, n, zero()); });
    return;
  }
  const float at_target = mul(sub(div(e[target], l), 1.0f), weight);
  for_lanes(n, [&](int64_t i, int64_t) { store_at(e, i, n, mul(div(load_at(e, i, n), splat(l)), splat(weight))); });
  e[target] = at_target;
}

}  // namespace

Status cross_entropy(const CrossEntropy& op, Work& work, std::string_view* kernel) {
  *kernel = "rows";
  const int64_t n = op.logits.cols;
  FirstIndex bad;
  for_row_ranges(work, op.logits.rows, 8 * n, [&](int64_t begin, int64_t end, int) {
    for (int64_t t = begin; t < end; ++t) {
      const float* x = op.logits.f32(t);
      const int64_t target = *op.targets.i32(t);
      check_index("cross_entropy", target, n);
      const float m = row_max(x, n);
      if (!is_finite(m)) {  // l is finite where m is: n terms from 0 to 1
        bad.report(t);
        return;
      }
      const float shifted = sub(x[target], m);
      float* out = op.dlogits.empty() ? nullptr : op.dlogits.f32(t);
      const float weight = flush(*op.weights.f32(t));
      const float l = exponentials(x, n, m, out);
      *op.loss.f32(t) = -sub(shifted, log(l));
      if (out != nullptr) row_grad(out, n, l, target, weight);
    }
  });
  if (!bad.found()) return {};
  return non_finite_row("cross_entropy", bad.index(), "largest logit", row_max(op.logits.f32(bad.index()), n));
}

}  // namespace naru::cpu::NARU_LEVEL
