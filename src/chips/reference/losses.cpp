// Cross entropy of rows of logits, and V3's sequence-wise balance loss of the experts, each with its gradient
// (docs/arithmetic.md section 7).
#include <algorithm>

#include "chips/reference/ops.h"

namespace naru::reference {
namespace {

using contract::add;
using contract::div;
using contract::fma;
using contract::mul;
using contract::sub;

// One token of a balance loss: its scores as shares of one, and what they were divided by (1 where softmax made them).
struct Shares {
  std::vector<float> a;
  float divisor = 1;
};

Shares shares_of(const contract::BalanceLoss& op, int64_t t) {
  Shares shares{expert_scores(f32(op.logits, t), op.logits.cols, op.scoring)};
  if (op.scoring == contract::Scoring::kSoftmax) return shares;
  shares.divisor = contract::row_sum(shares.a.data(), op.logits.cols);
  for (float& a : shares.a) a = div(a, shares.divisor);
  return shares;
}

// f_e = (E / (S * n)) * the number of slots that chose e.
std::vector<float> expert_loads(const contract::BalanceLoss& op, const contract::SequenceRows& rows) {
  const int64_t n_experts = op.logits.cols, n_chosen = op.experts.cols;
  std::vector<int32_t> counts(static_cast<size_t>(n_experts), 0);
  for (int64_t t = rows.row_begin; t < rows.row_begin + rows.n_rows; ++t) {
    for (int64_t s = 0; s < n_chosen; ++s) {
      const int64_t e = i32(op.experts, t)[s];
      NARU_CHECK(e >= 0 && e < n_experts, e, n_experts);
      ++counts[static_cast<size_t>(e)];
    }
  }
  const float factor = div(static_cast<float>(n_experts), static_cast<float>(n_chosen * rows.n_rows));
  std::vector<float> loads;
  for (const int32_t count : counts) loads.push_back(mul(factor, contract::to_f32(count)));
  return loads;
}

// The loss of one sequence; writes its rows of dscores.
float balance_sequence(const contract::BalanceLoss& op, const contract::SequenceRows& rows) {
  const int64_t n_experts = op.logits.cols;
  const float n = static_cast<float>(rows.n_rows);
  const std::vector<float> f = expert_loads(op, rows);
  std::vector<Shares> shares;
  for (int64_t i = 0; i < rows.n_rows; ++i) shares.push_back(shares_of(op, rows.row_begin + i));
  const auto mean_share = [&](int64_t e) {
    const auto step = [&](int64_t i, float acc) {
      return fma(shares[static_cast<size_t>(i)].a[static_cast<size_t>(e)], 1.0f, acc);
    };
    return div(column_dot(rows.n_rows, step), n);
  };
  const float sum = contract::row_reduce(
      n_experts, [&](int64_t e, float lane) { return fma(f[static_cast<size_t>(e)], mean_share(e), lane); });

  std::vector<float> b;
  for (const float load : f) b.push_back(mul(load, div(op.weight, n)));
  for (int64_t i = 0; i < rows.n_rows; ++i) {
    const Shares& token = shares[static_cast<size_t>(i)];
    float* out = f32(op.dscores, rows.row_begin + i);
    const float c = contract::row_reduce(n_experts, [&](int64_t e, float lane) {
      return fma(b[static_cast<size_t>(e)], token.a[static_cast<size_t>(e)], lane);
    });
    for (size_t e = 0; e < b.size(); ++e) {
      out[e] = op.scoring == contract::Scoring::kSigmoid ? div(sub(b[e], c), token.divisor) : b[e];
    }
  }
  return mul(op.weight, sum);
}

}  // namespace

template <>
Status run(const contract::BalanceLoss& op) {
  for (int64_t t = 0; t < op.dscores.rows; ++t) std::fill_n(f32(op.dscores, t), op.dscores.cols, 0.0f);
  for (size_t i = 0; i < op.sequences.size(); ++i) {
    *f32(op.loss, static_cast<int64_t>(i)) = balance_sequence(op, op.sequences[i]);
  }
  return {};
}

template <>
Status run(const contract::CrossEntropy& op) {
  const int64_t n = op.logits.cols;
  std::vector<float> e(static_cast<size_t>(n));
  BadRows bad("cross_entropy", op.logits.rows);
  for (int64_t t = 0; t < op.logits.rows; ++t) {
    const float* x = f32(op.logits, t);
    const int64_t target = *i32(op.targets, t);
    NARU_CHECK(target >= 0 && target < n, target, n);
    const auto row = softmax_row(t, x, n, e.data(), bad);
    if (!row) continue;
    *f32(op.loss, t) = -sub(sub(x[target], row->m), contract::log(row->l));
    if (op.dlogits.empty()) continue;
    const float weight = contract::flush(*f32(op.weights, t));
    float* out = f32(op.dlogits, t);
    for (int64_t k = 0; k < n; ++k)
      out[k] = weight == 0.0f ? 0.0f : mul(div(e[static_cast<size_t>(k)], row->l), weight);
    if (weight == 0.0f) continue;
    e[static_cast<size_t>(target)] = 0.0f;
    out[target] = mul(-div(contract::row_sum(e.data(), n), row->l), weight);
  }
  return bad.status();
}

}  // namespace naru::reference
