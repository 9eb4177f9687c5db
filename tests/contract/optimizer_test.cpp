// What optimizers are made of: tensors of a list have the bits that they have alone, and the reference chip against
// double. The bits of all other chips are cases of src/check/.
#include "tests/contract/grad_rig.h"

namespace naru::row_tests {
namespace {

using Outputs = std::vector<Rows>;

// Tensors of all sizes side by side, some larger than a task, many smaller, some of nothing.
std::vector<Shape> list_shapes() {
  std::vector<Shape> shapes = {{0, 5}, {1, 1}, {3, 0}, {0, 0}, {1, 50001}, {700, 7}, {2, 2048}, {1, 2049}, {5, 16384}};
  for (int64_t i = 0; i < 300; ++i) shapes.push_back({1 + i % 3, 1 + i * 7 % 67});
  shapes.insert(shapes.end(), {{4, 4097}, {1, 1}, {9, 0}});
  return shapes;
}

// Each tensor of a list has the bits that it has alone.
TEST(Optimizer, SumsOfSquaresOfAList) {
  Filler filler(307);
  std::vector<Rows> tensors;
  for (const Shape shape : list_shapes()) tensors.emplace_back(shape.rows, shape.cols, filler, Values::kWide);
  std::vector<View> views;
  for (Rows& tensor : tensors) views.push_back(tensor.view());
  const auto n = static_cast<int64_t>(views.size());
  Rows alone(n, 1);
  for (int64_t i = 0; i < n; ++i) {
    run_reference(contract::SumOfSquares{{&views[static_cast<size_t>(i)], 1}, alone.view().slice_rows(i, 1)});
  }
  Rows together(n, 1);
  run_reference(contract::SumOfSquares{views, together.view()});
  EXPECT_EQ(difference(together, alone), "");
}

// The factors of step t, made in double as training makes them.
contract::AdamW adamw_op(int t, double lr) {
  const double beta1 = 0.9, beta2 = 0.95;
  contract::AdamW op;
  op.grad_scale = 0.73f;
  op.beta1 = static_cast<float>(beta1), op.one_minus_beta1 = static_cast<float>(1 - beta1);
  op.beta2 = static_cast<float>(beta2), op.one_minus_beta2 = static_cast<float>(1 - beta2);
  op.inverse_root_bias2 = static_cast<float>(1 / std::sqrt(1 - std::pow(beta2, t)));
  op.eps = 1e-8f;
  op.step_size = static_cast<float>(lr / (1 - std::pow(beta1, t)));
  return op;
}

float decay_of(double lr, double weight_decay) {
  return static_cast<float>(1 - lr * weight_decay);
}

// The op on tensors that lie as weight, m, v, grad, one after the other.
class Step {
 public:
  Step(const contract::AdamW& factors, std::vector<float> decays) : op_(factors), decays_(std::move(decays)) {}
  const contract::AdamW& on(const std::vector<View>& views) {
    std::vector<View>* lists[] = {&weight_, &m_, &v_, &grad_};
    for (std::vector<View>* list : lists) list->clear();
    for (size_t i = 0; i < views.size(); ++i) lists[i % 4]->push_back(views[i]);
    op_.weight = weight_, op_.m = m_, op_.v = v_, op_.grad = grad_, op_.decay = decays_;
    return op_;
  }
  const contract::AdamW& on(Outputs& outputs) {
    std::vector<View> views;
    for (Rows& rows : outputs) views.push_back(rows.view());
    return on(views);
  }

 private:
  contract::AdamW op_;
  std::vector<float> decays_;
  std::vector<View> weight_, m_, v_, grad_;
};

// Tensors of all sizes side by side, each with a decay of its own, have the bits that they have alone; some without
// gaps.
TEST(Optimizer, AdamWOfAList) {
  Filler filler(308);
  Outputs start;
  std::vector<float> decays;
  for (const Shape shape : list_shapes()) {
    const int64_t gap = decays.size() % 3 == 0 ? 0 : 3;
    for (int part = 0; part < 4; ++part) {
      Rows rows(shape.rows, shape.cols, gap);
      for (int64_t r = 0; r < shape.rows; ++r) {
        for (int64_t k = 0; k < shape.cols; ++k) {
          const float value = filler.value(Values::kPlain);
          rows.row(r)[k] = part == 2 ? std::fabs(value) : value;
        }
      }
      start.push_back(rows);
    }
    decays.push_back(1 - 0x1p-10f * static_cast<float>(decays.size() % 4));
  }
  const contract::AdamW factors = adamw_op(3, 1e-2);
  Outputs alone = start;
  for (size_t i = 0; i < decays.size(); ++i) {
    Step one(factors, {decays[i]});
    std::vector<View> views;
    for (size_t part = 0; part < 4; ++part) views.push_back(alone[4 * i + part].view());
    run_reference(one.on(views));
  }
  Step step(factors, decays);
  Outputs together = start;
  run_reference(step.on(together));
  for (size_t i = 0; i < start.size(); ++i) EXPECT_EQ(difference(together[i], alone[i]), "") << i;
}

// Against the textbook in double: m / (1 - beta1^t) over sqrt(v / (1 - beta2^t)) + eps, decay apart from the gradient.
// Bounds count roundings of kUnit, those of the factors included: three in m's parts (factor, product, fma), five in
// v's, which the root halves; so u is within 16 of its size with m's terms taken absolutely, and w within 3 more.
TEST(Optimizer, AdamWIsTheTextbook) {
  Filler filler(304);
  const int64_t n = 400;
  Rows weight(1, n, filler, Values::kPlain), grad(1, n, filler, Values::kPlain);
  Rows m(1, n, filler, Values::kPlain), v(1, n, filler, Values::kPlain);
  for (int64_t k = 0; k < n; ++k) v.row(0)[k] = std::fabs(v.row(0)[k]) + 0x1p-10f;
  for (const int t : {1, 2, 10, 5000}) {
    const double lr = 2e-2, weight_decay = 0.1, beta1 = 0.9, beta2 = 0.95;
    Rows w1 = weight, m1 = m, v1 = v;
    Step step(adamw_op(t, lr), {decay_of(lr, weight_decay)});
    run_reference(step.on({w1.view(), m1.view(), v1.view(), grad.view()}));
    for (int64_t k = 0; k < n; ++k) {
      const double g = static_cast<double>(grad.row(0)[k]) * 0.73f, m0 = m.row(0)[k], v0 = v.row(0)[k];
      const double w0 = weight.row(0)[k];
      const double m_true = beta1 * m0 + (1 - beta1) * g, v_true = beta2 * v0 + (1 - beta2) * g * g;
      const double m_size = std::fabs(beta1 * m0) + std::fabs((1 - beta1) * g);
      const double divisor = std::sqrt(v_true / (1 - std::pow(beta2, t))) + 1e-8;
      const double rate = lr / (1 - std::pow(beta1, t));
      EXPECT_NEAR(m1.row(0)[k], m_true, 4 * kUnit * m_size) << k;
      EXPECT_NEAR(v1.row(0)[k], v_true, 5 * kUnit * v_true) << k;
      EXPECT_NEAR(w1.row(0)[k], w0 - rate * m_true / divisor - lr * weight_decay * w0,
                  kUnit * (16 * rate * m_size / divisor + 3 * std::fabs(w0)))
          << k << ", step " << t;
    }
  }
}

TEST(Optimizer, SumOfSquaresIsTheSum) {
  Filler filler(305);
  Rows x(37, 3000, filler, Values::kPlain), out(1, 1);
  double sum = 0;
  for (int64_t r = 0; r < 37; ++r)
    for (int64_t k = 0; k < 3000; ++k) sum += static_cast<double>(x.row(r)[k]) * x.row(r)[k];
  const View view = x.view();
  run_reference(contract::SumOfSquares{{&view, 1}, out.view()});
  // 128 fma of a lane, 4 of the fold, 1 of the row's tree and its + 0, 6 of the rows' tree and its + 0.
  EXPECT_NEAR(*out.row(0), sum, 141 * kUnit * sum);
}

TEST(Optimizer, AxpbyIsTheSum) {
  Filler filler(306);
  Rows x(3, 100, filler, Values::kPlain), y(3, 100, filler, Values::kPlain), out(3, 100);
  run_reference(contract::Axpby{x.view(), y.view(), 0.3f, -7.0f, out.view()});
  for (int64_t r = 0; r < 3; ++r) {
    for (int64_t k = 0; k < 100; ++k) {
      const double a = static_cast<double>(0.3f) * x.row(r)[k], b = -7.0 * y.row(r)[k];
      EXPECT_NEAR(out.row(r)[k], a + b, kUnit * (std::fabs(b) + std::fabs(a + b) * 1.001));
    }
  }
}

}  // namespace
}  // namespace naru::row_tests
