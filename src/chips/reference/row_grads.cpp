// Gradients of row functions, of the experts' combination and selection, and of the embedding; column sums and sums of
// slots (docs/arithmetic.md section 7). Gradients of parameters are added to what `out` holds.
#include "chips/reference/ops.h"

namespace naru::reference {
namespace {

using contract::add;
using contract::div;
using contract::fma;
using contract::mul;
using contract::sub;

// 1 / sqrt(mean of squares + eps), as rms_norm has it.
float inverse_rms(const float* x, int64_t n, float eps) {
  const float mean = div(contract::row_sum_of_squares(x, n), static_cast<float>(n));
  return div(1.0f, contract::sqrt(add(mean, eps)));
}

// Takes from each x the mean of x by the shares, then the mean of what is left: the first mean's rounding goes with it.
void remove_mean(std::vector<float>& x, const std::vector<float>& shares) {
  for (int pass = 0; pass < 2; ++pass) {
    const float mean = contract::row_reduce(static_cast<int64_t>(x.size()), [&](int64_t i, float lane) {
      return fma(x[static_cast<size_t>(i)], shares[static_cast<size_t>(i)], lane);
    });
    for (float& value : x) value = sub(value, mean);
  }
}

// Gradients of the scores of one token, of its gates alone: +0 where an expert was not chosen.
std::vector<float> score_grads(const contract::RouteGrad& op, int64_t t, const std::vector<float>& scores) {
  const int64_t n_chosen = op.experts.cols;
  std::vector<float> u(scores.size(), 0.0f), chosen, h;
  for (int64_t s = 0; s < n_chosen; ++s) {
    const int64_t e = i32(op.experts, t)[s];
    NARU_CHECK(e >= 0 && e < op.logits.cols, e, op.logits.cols);
    chosen.push_back(scores[static_cast<size_t>(e)]);
    h.push_back(mul(f32(op.dgates, t)[s], op.scale));
  }
  if (op.normalise) {
    const float d = add(contract::row_sum(chosen.data(), n_chosen), 1e-20f);
    for (float& score : chosen) score = div(score, d);
    remove_mean(h, chosen);
    for (float& value : h) value = div(value, d);
  }
  for (int64_t s = 0; s < n_chosen; ++s) u[static_cast<size_t>(i32(op.experts, t)[s])] = h[static_cast<size_t>(s)];
  return u;
}

}  // namespace

float column_dot(int64_t n, const std::function<float(int64_t t, float acc)>& step) {
  contract::SegmentSum sum;
  for (int64_t begin = 0; begin < n; begin += contract::kSegment) {
    float acc = 0.0f;
    for (int64_t t = begin; t < n && t < begin + contract::kSegment; ++t) acc = step(t, acc);
    sum.push(acc);
  }
  return sum.total();
}

template <>
Status run(const contract::ColumnSum& op) {
  for (int64_t c = 0; c < op.x.cols; ++c) {
    const float sum = column_dot(op.x.rows, [&](int64_t t, float acc) { return fma(f32(op.x, t)[c], 1.0f, acc); });
    f32(op.out)[c] = add(f32(op.out)[c], sum);
  }
  return {};
}

template <>
Status run(const contract::SumSlots& op) {
  const int64_t n_slots = op.out.rows > 0 ? op.x.rows / op.out.rows : 0;
  for (int64_t t = 0; t < op.out.rows; ++t) {
    for (int64_t k = 0; k < op.out.cols; ++k) {
      float sum = 0.0f;
      for (int64_t s = 0; s < n_slots; ++s) sum = add(sum, f32(op.x, t * n_slots + s)[k]);
      f32(op.out, t)[k] = sum;
    }
  }
  return {};
}

template <>
Status run(const contract::RmsNormGrad& op) {
  const int64_t n = op.x.cols;
  const float* weight = f32(op.weight);
  std::vector<float> r;
  for (int64_t t = 0; t < op.x.rows; ++t) r.push_back(inverse_rms(f32(op.x, t), n, op.eps));
  const auto normed = [&](int64_t t, int64_t k) { return mul(f32(op.x, t)[k], r[static_cast<size_t>(t)]); };
  for (int64_t k = 0; k < n && !op.dweight.empty(); ++k) {  // first, since dx may be dy
    const float dot =
        column_dot(op.x.rows, [&](int64_t t, float acc) { return fma(f32(op.dy, t)[k], normed(t, k), acc); });
    f32(op.dweight)[k] = add(f32(op.dweight)[k], dot);
  }
  for (int64_t t = 0; t < op.x.rows; ++t) {
    const float* dy = f32(op.dy, t);
    const float sum =
        contract::row_reduce(n, [&](int64_t k, float lane) { return fma(mul(dy[k], weight[k]), normed(t, k), lane); });
    const float c = div(sum, static_cast<float>(n));
    for (int64_t k = 0; k < n; ++k) {
      f32(op.dx, t)[k] = mul(r[static_cast<size_t>(t)], fma(-normed(t, k), c, mul(dy[k], weight[k])));
    }
  }
  return {};
}

template <>
Status run(const contract::RopeGrad& op) {
  const int64_t n_pairs = op.cos.cols;
  const bool is_interleaved = op.layout == contract::RopeLayout::kInterleaved;
  for (int64_t row = 0; row < op.dx.rows; ++row) {
    const float* cos = f32(op.cos, row / op.rows_per_token);
    const float* sin = f32(op.sin, row / op.rows_per_token);
    for (int64_t i = 0; i < n_pairs; ++i) {
      const int64_t first = is_interleaved ? 2 * i : i;
      const int64_t second = is_interleaved ? 2 * i + 1 : i + n_pairs;
      const float a = f32(op.dy, row)[first], b = f32(op.dy, row)[second];
      f32(op.dx, row)[first] = fma(a, cos[i], mul(b, sin[i]));
      f32(op.dx, row)[second] = fma(b, cos[i], -mul(a, sin[i]));
    }
  }
  return {};
}

template <>
Status run(const contract::SiluMulGrad& op) {
  for (int64_t t = 0; t < op.gate.rows; ++t) {
    for (int64_t k = 0; k < op.gate.cols; ++k) {
      const float gate = f32(op.gate, t)[k], up = f32(op.up, t)[k], dy = f32(op.dy, t)[k];
      const float s = contract::sigmoid(gate), a = contract::silu(gate);
      f32(op.dup, t)[k] = mul(dy, a);
      f32(op.dgate, t)[k] = mul(mul(dy, up), fma(a, sub(1.0f, s), s));
    }
  }
  return {};
}

template <>
Status run(const contract::CombineGrad& op) {
  const int64_t n = op.dout.cols, n_chosen = op.gates.cols;
  for (int64_t t = 0; t < op.dout.rows; ++t) {
    const float* dout = f32(op.dout, t);
    for (int64_t s = 0; s < n_chosen; ++s) {
      const float* y = f32(op.y, t * n_chosen + s);
      f32(op.dgates, t)[s] = contract::row_reduce(n, [&](int64_t k, float lane) { return fma(dout[k], y[k], lane); });
      for (int64_t k = 0; k < n; ++k) f32(op.dy, t * n_chosen + s)[k] = mul(f32(op.gates, t)[s], dout[k]);
    }
  }
  return {};
}

template <>
Status run(const contract::RouteGrad& op) {
  const int64_t n = op.logits.cols;
  for (int64_t t = 0; t < op.logits.rows; ++t) {
    const std::vector<float> a = expert_scores(f32(op.logits, t), n, op.scoring);
    std::vector<float> u = score_grads(op, t, a);
    for (size_t e = 0; e < u.size() && !op.dscores.empty(); ++e) u[e] = add(u[e], f32(op.dscores, t)[e]);
    float* out = f32(op.dlogits, t);
    if (op.scoring == contract::Scoring::kSigmoid) {
      for (size_t e = 0; e < u.size(); ++e) out[e] = mul(u[e], mul(a[e], contract::sigmoid(-f32(op.logits, t)[e])));
      continue;
    }
    remove_mean(u, a);
    for (size_t e = 0; e < u.size(); ++e) out[e] = mul(a[e], u[e]);
  }
  return {};
}

template <>
Status run(const contract::EmbedGrad& op) {
  const size_t n = static_cast<size_t>(op.out.cols);
  std::vector<std::vector<float>> sums(static_cast<size_t>(op.out.rows));  // empty: no token
  for (int64_t t = 0; t < op.ids.rows; ++t) {
    const int64_t id = *i32(op.ids, t);
    NARU_CHECK(id >= 0 && id < op.out.rows, id, op.out.rows);
    std::vector<float>& sum = sums[static_cast<size_t>(id)];
    sum.resize(n, 0.0f);
    for (size_t k = 0; k < n; ++k) sum[k] = add(sum[k], f32(op.dy, t)[k]);
  }
  for (int64_t v = 0; v < op.out.rows; ++v) {
    const std::vector<float>& sum = sums[static_cast<size_t>(v)];
    for (size_t k = 0; k < sum.size(); ++k) f32(op.out, v)[k] = add(f32(op.out, v)[k], sum[k]);
  }
  return {};
}

}  // namespace naru::reference
