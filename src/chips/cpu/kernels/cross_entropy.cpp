// Loss and gradient of rows of logits. A row stays with one thread: its maximum, its exponentials (kept in dlogits)
// with their sums, then their quotients. A row and its gradient stay in a core's cache meanwhile, so memory sees each
// once.
#include "chips/cpu/kernels/row_loops.h"
#include "chips/cpu/row_errors.h"

namespace naru::cpu::NARU_LEVEL {
namespace {

using contract::CrossEntropy;

constexpr int64_t kRowsPerTask = 16;  // at most: enough that most rows are fetched while the one before is computed

// contract::exp where x <= 0, not NaN: only the low end of the exponent is near, and what lies far below it is as good
// as -89, whose exponential is +0.
NARU_INLINE F32x16 exp_of_shifted(F32x16 x) {
  I32x16 n;
  const I32x16 bits = as_i32(detail::exp_mantissa(larger(x, splat(-89.0f)), n));
  const I32x16 y = add(bits, shift_left<23>(n));
  return as_f32(select(less(y, splat_i32(0x00800000)), splat_i32(0), y));
}

struct Sums {
  float l;       // row sum of exp(x - m)
  float others;  // the same with +0 in the target's place
};

// The exponentials go to `e` unless that is null, where e may be x; without them `others` means nothing. Meanwhile the
// row `next` is fetched.
NARU_INLINE Sums exponentials(const float* x, int64_t n, float m, int64_t target, float* e, const float* next) {
  const F32x16 shift = splat(m);
  const auto value_at = [&](int64_t i) {
    __builtin_prefetch(next + i, 0, 2);
    return exp_of_shifted(sub(load_at(x, i, n), shift));
  };
  if (e == nullptr) return {row_reduce_at(n, [&](F32x16 lanes, int64_t i) { return add(lanes, value_at(i)); }), 0.0f};
  TreeSum l, others;
  for (int64_t begin = 0; begin < n; begin += kRowSegment) {
    const int64_t end = n - begin < kRowSegment ? n : begin + kRowSegment;
    F32x16 lanes = zero(), other_lanes = zero();
    for (int64_t i = begin; i < end; i += 16) {
      F32x16 value = value_at(i);
      store_at(e, i, n, value);
      if (end - i < 16) value = select(first_lanes(end - i), value, zero());  // adds +0, which changes no lane
      lanes = add(lanes, value);
      if (target - i >= 0 && target - i < 16)
        value = select(first_lanes(target - i), value, select(first_lanes(target - i + 1), zero(), value));
      other_lanes = add(other_lanes, value);
    }
    l.push(sum_lanes(lanes)), others.push(sum_lanes(other_lanes));
  }
  return {l.total(), others.total()};
}

// (e / l) * weight in place of e; at the target -(others / l) * weight.
NARU_INLINE void row_grad(float* e, int64_t n, const Sums& sums, int64_t target, float weight) {
  if (weight == 0.0f) {
    for_lanes(n, [&](int64_t i, int64_t) { store_at(e, i, n, zero()); });
    return;
  }
  const F32x16 l = splat(sums.l);
  for_lanes(n, [&](int64_t i, int64_t) { store_at(e, i, n, mul(div(load_at(e, i, n), l), splat(weight))); });
  e[target] = mul(-div(sums.others, sums.l), weight);
}

}  // namespace

template <>
Status run(const CrossEntropy& op, Work& work, std::string_view* kernel) {
  *kernel = "rows";
  const int64_t n = op.logits.cols;
  const int64_t rows = op.logits.rows, shared_rows = rows / (4 * work.pool.n_threads());
  const int64_t per_task = shared_rows < 1 ? 1 : shared_rows > kRowsPerTask ? kRowsPerTask : shared_rows;
  BadIndices bad;
  work.pool.parallel_for_near((rows + per_task - 1) / per_task, [&](int64_t task, int) {
    const int64_t begin = task * per_task, end = rows - begin < per_task ? rows : begin + per_task;
    for (int64_t t = begin; t < end; ++t) {
      const float* x = f32(op.logits, t);
      const int64_t target = *i32(op.targets, t);
      check_index("cross_entropy", target, n);
      const float m = row_max(x, n);
      if (!is_finite(m)) {  // l is finite where m is: n terms from 0 to 1
        bad.report(t);
        continue;
      }
      const float shifted = sub(x[target], m);
      float* out = op.dlogits.empty() ? nullptr : f32(op.dlogits, t);
      const float weight = flush(*f32(op.weights, t));
      const Sums sums = exponentials(x, n, m, target, out, f32(op.logits, t + 1 < end ? t + 1 : t));
      *f32(op.loss, t) = -sub(shifted, log(sums.l));
      if (out != nullptr) row_grad(out, n, sums, target, weight);
    }
  });
  if (!bad.found()) return {};
  const float m = row_max(f32(op.logits, bad.first()), n);
  return non_finite_rows("cross_entropy", rows, bad, "largest logit", m);
}

}  // namespace naru::cpu::NARU_LEVEL
