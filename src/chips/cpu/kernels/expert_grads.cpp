// Gradients of the experts' combination and of their selection, row by row.
#include "chips/cpu/kernels/expert_scores.h"
#include "chips/cpu/row_errors.h"

namespace naru::cpu::NARU_LEVEL {
namespace {

using contract::RouteGrad;

struct RouteGradScratch {
  float* a;       // [E] scores
  float* u;       // [E] their gradients
  float* chosen;  // [S] scores of the chosen; where normalised, their shares
  float* h;       // [S] their gradients
};

// Takes from each x the mean of x by the shares, then the mean of what is left: the first mean's rounding goes with it.
void remove_mean(float* x, const float* shares, int64_t n) {
  for (int pass = 0; pass < 2; ++pass) {
    const F32x16 mean = splat(
        row_reduce_at(n, [&](F32x16 lanes, int64_t i) { return fma(load_at(x, i, n), load_at(shares, i, n), lanes); }));
    for_lanes(n, [&](int64_t i, int64_t) { store_at(x, i, n, sub(load_at(x, i, n), mean)); });
  }
}

// u from the gates' gradients: +0 where an expert was not chosen.
void score_grads(const RouteGrad& op, int64_t t, const RouteGradScratch& scratch) {
  const int64_t n = op.logits.cols, n_chosen = op.experts.cols;
  const int32_t* experts = i32(op.experts, t);
  const float* dgates = f32(op.dgates, t);
  for (int64_t s = 0; s < n_chosen; ++s) {
    check_index("route_grad", experts[s], n);
    scratch.chosen[s] = scratch.a[experts[s]];
    scratch.h[s] = mul(dgates[s], op.scale);
  }
  if (op.normalise) {
    const F32x16 d = splat(add(row_sum(scratch.chosen, n_chosen), 1e-20f));
    const auto each = [&](float* x) {
      for_lanes(n_chosen, [&](int64_t i, int64_t) { store_at(x, i, n_chosen, div(load_at(x, i, n_chosen), d)); });
    };
    each(scratch.chosen);
    remove_mean(scratch.h, scratch.chosen, n_chosen);
    each(scratch.h);
  }
  for_lanes(n, [&](int64_t i, int64_t) { store_at(scratch.u, i, n, zero()); });
  for (int64_t s = 0; s < n_chosen; ++s) scratch.u[experts[s]] = scratch.h[s];
  if (op.dscores.empty()) return;
  const float* dscores = f32(op.dscores, t);
  for_lanes(
      n, [&](int64_t i, int64_t) { store_at(scratch.u, i, n, add(load_at(scratch.u, i, n), load_at(dscores, i, n))); });
}

void route_grad_row(const RouteGrad& op, int64_t t, const RouteGradScratch& scratch) {
  const int64_t n = op.logits.cols;
  const float *a = scratch.a, *u = scratch.u, *logits = f32(op.logits, t);
  float* out = f32(op.dlogits, t);
  make_scores(logits, n, op.scoring, scratch.a);
  score_grads(op, t, scratch);
  if (op.scoring == contract::Scoring::kSigmoid) {
    for_lanes(n, [&](int64_t i, int64_t) {
      const F32x16 rest = sigmoid(negate(load_at(logits, i, n)));
      store_at(out, i, n, mul(load_at(u, i, n), mul(load_at(a, i, n), rest)));
    });
    return;
  }
  remove_mean(scratch.u, a, n);
  for_lanes(n, [&](int64_t i, int64_t) { store_at(out, i, n, mul(load_at(a, i, n), load_at(u, i, n))); });
}

}  // namespace

template <>
Status run(const contract::CombineGrad& op, Work& work, std::string_view* kernel) {
  *kernel = "rows";
  const int64_t n = op.dout.cols, n_chosen = op.gates.cols;
  for_row_ranges(work, op.y.rows, 2 * n, [&](int64_t begin, int64_t end, int) {
    for (int64_t row = begin; row < end; ++row) {
      const int64_t t = row / n_chosen, s = row % n_chosen;
      const float* dout = f32(op.dout, t);
      const float* y = f32(op.y, row);
      float* dy = f32(op.dy, row);
      const F32x16 gate = splat(f32(op.gates, t)[s]);
      f32(op.dgates, t)[s] = row_reduce_at(n, [&](F32x16 lanes, int64_t i) {
        const F32x16 grad = load_at(dout, i, n);
        const F32x16 sum = fma(grad, load_at(y, i, n), lanes);
        store_at(dy, i, n, mul(gate, grad));
        return sum;
      });
    }
  });
  return {};
}

template <>
Status run(const RouteGrad& op, Work& work, std::string_view* kernel) {
  *kernel = "rows";
  const int64_t n = op.logits.cols, n_chosen = op.experts.cols;
  for_row_ranges(work, op.logits.rows, 8 * n, [&](int64_t begin, int64_t end, int thread) {
    const auto bytes = static_cast<size_t>(2 * (n + n_chosen)) * sizeof(float);
    auto* memory = reinterpret_cast<float*>(work.scratch[static_cast<size_t>(thread)].get(bytes));
    const RouteGradScratch scratch{memory, memory + n, memory + 2 * n, memory + 2 * n + n_chosen};
    for (int64_t t = begin; t < end; ++t) route_grad_row(op, t, scratch);
  });
  return {};
}

}  // namespace naru::cpu::NARU_LEVEL
