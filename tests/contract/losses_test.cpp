// Cross entropy, the balance loss and the gradient of the experts' selection: every level against the reference chip,
// bit for bit. Their truth is in grad_truth_test.cpp.
#include <limits>

#include "tests/contract/grad_rig.h"

namespace naru::row_tests {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr contract::Scoring kScorings[] = {contract::Scoring::kSoftmax, contract::Scoring::kSigmoid};

// Ascending distinct experts of each token.
Rows chosen_experts(int64_t rows, int64_t n_experts, int64_t n_chosen, Filler& filler) {
  Rows experts(rows, n_chosen);
  for (int64_t t = 0; t < rows; ++t) {
    int64_t s = 0;
    for (int64_t e = 0; e < n_experts && s < n_chosen; ++e) {
      const uint64_t left = static_cast<uint64_t>(n_experts - e), wanted = static_cast<uint64_t>(n_chosen - s);
      if (filler.bits() % left < wanted) experts.row_i32(t)[s++] = static_cast<int32_t>(e);
    }
  }
  return experts;
}

struct Targets {
  Rows ids, weights;
};
Targets random_targets(int64_t rows, int64_t cols, Filler& filler) {
  Targets targets{Rows(rows, 1), Rows(rows, 1)};
  const float weights[] = {1.0f, 1.0f / 300.0f, 0.0f, -0.0f, 0x1p-135f};
  for (int64_t t = 0; t < rows; ++t) {
    *targets.ids.row_i32(t) = static_cast<int32_t>(filler.bits() % static_cast<uint32_t>(cols));
    *targets.weights.row(t) = weights[t % 5];
  }
  return targets;
}

TEST(Losses, CrossEntropy) {
  Filler filler(201);
  std::vector<Shape> shapes = grad_shapes();
  shapes.push_back({3, 49152});
  for (const Values values : {Values::kPlain, Values::kLow, Values::kAll}) {
    for (const Shape shape : shapes) {
      Rows logits(shape.rows, shape.cols, filler, values);
      Targets targets = random_targets(shape.rows, shape.cols, filler);
      for (int64_t t = 1; t < shape.rows; t += 3)  // exponentials down to the end of the exponent
        for (int64_t k = 0; k < shape.cols; ++k) logits.row(t)[k] = filler.value(Values::kPlain) * 60.0f;
      if (shape.cols > 1) logits.row(0)[shape.cols - 1] = -kInfinity;
      const Rows empty(shape.rows, shape.cols), losses(shape.rows, 1);
      const std::string what = label("cross_entropy", shape, values);
      expect_outputs_equal(what, {losses, empty}, [&](Outputs& out) {
        return contract::CrossEntropy{logits.view(), targets.ids.view_i32(), targets.weights.view(), out[0].view(),
                                      out[1].view()};
      });
      expect_outputs_equal(what + " in place", {losses, logits}, [&](Outputs& out) {
        return contract::CrossEntropy{out[1].view(), targets.ids.view_i32(), targets.weights.view(), out[0].view(),
                                      out[1].view()};
      });
      expect_outputs_equal(what + ", the loss alone", {losses}, [&](Outputs& out) {
        return contract::CrossEntropy{logits.view(), targets.ids.view_i32(), targets.weights.view(), out[0].view(), {}};
      });
    }
  }
}

// The loss is the exact negation of log_prob, and a row of weight 0 has a gradient of +0 and a loss all the same.
TEST(Losses, CrossEntropyIsMinusLogProb) {
  Filler filler(202);
  Rows logits(11, 3001, filler, Values::kPlain), log_prob(11, 1), loss(11, 1), dlogits(11, 3001);
  Targets targets = random_targets(11, 3001, filler);
  run_reference(contract::LogProb{logits.view(), targets.ids.view_i32(), log_prob.view()});
  run_reference(contract::CrossEntropy{logits.view(), targets.ids.view_i32(), targets.weights.view(), loss.view(),
                                       dlogits.view()});
  for (int64_t t = 0; t < 11; ++t) {
    EXPECT_EQ(std::bit_cast<uint32_t>(*loss.row(t)), std::bit_cast<uint32_t>(-*log_prob.row(t))) << t;
    if (t % 5 < 2) continue;
    for (int64_t k = 0; k < 3001; ++k) ASSERT_EQ(std::bit_cast<uint32_t>(dlogits.row(t)[k]), 0u) << t << " " << k;
  }
}

TEST(Losses, CrossEntropyRefusesWhatIsNotFinite) {
  Filler filler(203);
  for (const float bad : {kInfinity, kNaN}) {
    Rows logits(40, 5000, filler, Values::kPlain), loss(40, 1);
    Targets targets = random_targets(40, 5000, filler);
    logits.row(27)[4999] = bad;
    logits.row(39)[0] = bad;
    for (int64_t k = 0; k < 5000; ++k) logits.row(33)[k] = -kInfinity;
    const auto op = [&](Outputs& out) {
      return contract::CrossEntropy{out[1].view(), targets.ids.view_i32(), targets.weights.view(), out[0].view(),
                                    out[1].view()};
    };
    expect_outputs_equal("cross_entropy", {loss, logits}, op);
    Outputs out = {loss, logits};
    const Status status = staged_cpu_chips().back().chip->run(op(out));
    ASSERT_FALSE(status.ok());
    EXPECT_EQ(status.error().code, Code::kOutOfRange);
    EXPECT_NE(status.error().message.find("cross_entropy: row 27: the largest logit is"), std::string::npos)
        << status.error().message;
  }
}

TEST(Losses, RouteGrad) {
  Filler filler(204);
  for (const Shape shape : {Shape{1, 8}, Shape{31, 15}, Shape{9, 17}, Shape{513, 16}, Shape{70, 256}, Shape{3, 2049}}) {
    for (const int64_t n_chosen : {1, 2, 3, 4, 5, 6, 7, 8}) {
      for (const Values values : kEveryValues) {
        Rows logits(shape.rows, shape.cols, filler, values);
        Rows experts = chosen_experts(shape.rows, shape.cols, n_chosen, filler);
        Rows dgates(shape.rows, n_chosen, filler, values), dscores(shape.rows, shape.cols, filler, values);
        for (const auto scoring : kScorings) {
          for (const int flags : {0, 1, 2, 3}) {
            const View given = (flags & 1) != 0 ? dscores.view() : View{};
            expect_equal(label("route_grad", shape, values), Rows(shape.rows, shape.cols), [&](Rows& out) {
              return contract::RouteGrad{logits.view(), experts.view_i32(), dgates.view(), given,
                                         scoring,       (flags & 2) != 0,   2.5f,          out.view()};
            });
          }
        }
      }
    }
  }
}

TEST(Losses, BalanceLoss) {
  Filler filler(205);
  const std::vector<int32_t> no_pages(200);  // as many as positions need; nobody reads them
  for (const Shape shape : {Shape{31, 8}, Shape{600, 15}, Shape{600, 100}, Shape{4200, 17}, Shape{70, 2049}}) {
    // Three documents that leave out rows between and after them; the middle one is the longest.
    const int64_t end = shape.rows - 2;
    const contract::SequenceRows sequences[] = {
        {0, 5, 0, no_pages.data()}, {6, end - 8, 0, no_pages.data()}, {end - 1, 1, 0, no_pages.data()}};
    for (const int64_t n_chosen : {1, 2, 6, 8}) {
      for (const Values values : kEveryValues) {
        Rows logits(shape.rows, shape.cols, filler, values);
        Rows experts = chosen_experts(shape.rows, shape.cols, n_chosen, filler);
        for (const auto scoring : kScorings) {
          for (const size_t n_sequences : {0u, 1u, 3u}) {
            const contract::Sequences list({sequences, n_sequences});
            const Outputs start = {Rows(static_cast<int64_t>(n_sequences), 1), Rows(shape.rows, shape.cols)};
            expect_outputs_equal(label("balance_loss", shape, values), start, [&](Outputs& out) {
              return contract::BalanceLoss{logits.view(), experts.view_i32(), scoring,      0.0003f,
                                           list,          out[0].view(),      out[1].view()};
            });
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace naru::row_tests
