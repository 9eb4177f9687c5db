// What optimizers are made of: fill, sums of two, the sums of squares of tensors, and AdamW's update
// (docs/arithmetic.md section 7).
#include "chips/reference/ops.h"

namespace naru::reference {

using contract::div;
using contract::fma;
using contract::mul;

template <>
Status run(const contract::Fill& op) {
  for (int64_t t = 0; t < op.out.rows; ++t) {
    for (int64_t k = 0; k < op.out.cols; ++k) f32(op.out, t)[k] = contract::flush(op.value);
  }
  return {};
}

template <>
Status run(const contract::Axpby& op) {
  for (int64_t t = 0; t < op.out.rows; ++t) {
    for (int64_t k = 0; k < op.out.cols; ++k) {
      const float x = f32(op.x, t)[k];
      f32(op.out, t)[k] = op.y.empty() ? mul(op.a, x) : fma(op.a, x, mul(op.b, f32(op.y, t)[k]));
    }
  }
  return {};
}

template <>
Status run(const contract::SumOfSquares& op) {
  for (size_t i = 0; i < op.x.size(); ++i) {
    contract::SegmentSum sum;
    const View& x = op.x[i];
    for (int64_t t = 0; t < x.rows; ++t) sum.push(contract::row_sum_of_squares(f32(x, t), x.cols));
    *f32(op.out, static_cast<int64_t>(i)) = sum.total();
  }
  return {};
}

template <>
Status run(const contract::AdamW& op) {
  for (size_t i = 0; i < op.weight.size(); ++i) {
    for (int64_t t = 0; t < op.weight[i].rows; ++t) {
      for (int64_t k = 0; k < op.weight[i].cols; ++k) {
        float& w = f32(op.weight[i], t)[k];
        float& m = f32(op.m[i], t)[k];
        float& v = f32(op.v[i], t)[k];
        const float g = mul(f32(op.grad[i], t)[k], op.grad_scale);
        m = fma(op.beta1, m, mul(op.one_minus_beta1, g));
        v = fma(op.beta2, v, mul(op.one_minus_beta2, mul(g, g)));
        const float u = div(m, fma(contract::sqrt(v), op.inverse_root_bias2, op.eps));
        w = fma(-op.step_size, u, mul(w, op.decay[i]));
      }
    }
  }
  return {};
}

}  // namespace naru::reference
