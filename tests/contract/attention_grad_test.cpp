// Attention's gradient: scores at the floor, operands that are not finite, and the reference chip against differences
// of attention in double. Its bits are cases of src/check/.
#include <cmath>
#include <limits>
#include <numeric>

#include "tests/contract/attention_rig.h"

namespace naru {
namespace {

using check::Program;
using test::AttentionConfig;
using test::AttentionViews;
using test::operand_values;
using test::Output;
using enum test::Output;

// The forward's bits are the same with stats and without.
TEST(AttentionGradOp, StatsChangeNothing) {
  for (const char* kind : {"f32/grouped/every/", "bf16/grouped/every/", "f32/latent/every/", "bf16/latent/every/"}) {
    const auto make = [&](const char* stats) {
      return check::build(check::make_case(
          "attention", std::string(kind) + stats,
          {{"heads", {4}}, {"key_heads", {1}}, {"width", {33}}, {"value_width", {17}}, {"lengths", {530, 3}}}));
    };
    const Program with = make("stats"), without = make("no_stats");
    for (const test::NamedChip& named : test::cpu_chips()) {
      if (test::is_slow(named)) continue;
      EXPECT_EQ(output_values(with, test::outcome_on(*named.chip, with), kOut),
                output_values(without, test::outcome_on(*named.chip, without), kOut))
          << kind << " on " << named.name;
    }
  }
}

// Scores on both sides of 38 below the largest.
TEST(AttentionGradOp, ScoreFloor) {
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    Program p = test::attention_program({.dtype = dtype,
                                         .lengths = {6},
                                         .heads = 1,
                                         .width = 1,
                                         .value_width = 2,
                                         .scale_log2 = 0,
                                         .has_gradient = true});
    const AttentionViews views = test::views_of(p);
    const float keys[] = {0.0f, -37.75f, -38.0f, -38.25f, -88.0f, -37.0f};
    for (int64_t r = 0; r < 6; ++r) {
      p.row(views.q, r)[0] = 1.0f;
      p.row(views.k, r)[0] = keys[r];
      p.row(views.dout, r)[0] = 0x1p100f;
    }
    const std::vector<float> dv = output_values(p, test::expect_equal("floor", p), kDv);
    EXPECT_GT(std::fabs(dv[2 * 2]), 0x1p40f);  // -38 itself still counts
  }
}

// A query or a gradient that is not finite spoils its head of its document, and no other.
TEST(AttentionGradOp, NonFiniteOperands) {
  constexpr int64_t kHeads = 4, kKeyHeads = 2, kWidth = 20;
  for (const char* lists : {"every", "sparse"}) {
    for (const DType dtype : {DType::kF32, DType::kBF16}) {
      for (const int64_t n : {70, 300}) {
        const AttentionConfig config{.dtype = dtype,
                                     .lengths = {n, 40},
                                     .heads = kHeads,
                                     .key_heads = kKeyHeads,
                                     .width = kWidth,
                                     .value_width = 12,
                                     .lists = lists,
                                     .has_gradient = true};
        constexpr int64_t kFirst = 40;  // row of the first document
        Program p = test::attention_program(config);
        p.row(test::views_of(p).q, (kFirst + 3) * kHeads + 1)[19] = std::numeric_limits<float>::infinity();
        const check::Outcome outcome = test::expect_equal("non-finite q", p, n > 100);
        const std::vector<float> dq = output_values(p, outcome, kDq), dk = output_values(p, outcome, kDk);
        const auto first_of = [&](const std::vector<float>& values, int64_t row) {
          return values[static_cast<size_t>(row * kWidth)];
        };
        EXPECT_TRUE(std::isnan(first_of(dq, kFirst * kHeads + 1)));
        EXPECT_TRUE(std::isnan(first_of(dk, (kFirst + n - 1) * kKeyHeads)));
        EXPECT_TRUE(std::isfinite(first_of(dq, (kFirst + 3) * kHeads)));  // another query head of the same key head
        EXPECT_TRUE(std::isfinite(first_of(dk, (kFirst + 3) * kKeyHeads + 1)));  // another key head
        EXPECT_TRUE(std::isfinite(dk[0]));                                       // another document
        Program other = test::attention_program(config);
        other.row(test::views_of(other).dout, (kFirst + 3) * kHeads + 2)[11] = std::bit_cast<float>(0x7fffffffu);
        test::expect_equal("non-finite dout", other, n > 100);
      }
    }
  }
}

// Sum of out * dout in double: P by plain softmax over what each query sees.
struct Loss {
  const AttentionConfig& c;
  const contract::SequencesRef& sequences;
  const std::vector<double>& dout;

  double of(const std::vector<double>& q, const std::vector<double>& k, const std::vector<double>& v) const {
    double loss = 0;
    for (const contract::SequenceRows& rows : sequences) {
      for (int64_t i = 0; i < rows.n_rows; ++i) {
        for (int64_t h = 0; h < c.heads; ++h) {
          const int64_t row = (rows.row_begin + i) * c.heads + h;
          double sum = 0, weighted = 0;
          for (int64_t j = 0; j <= i; ++j) {
            const int64_t key = (rows.row_begin + j) * c.key_heads + h / (c.heads / c.key_heads);
            const double s = std::inner_product(&q[static_cast<size_t>(row * c.width)],
                                                &q[static_cast<size_t>(row * c.width)] + c.width,
                                                &k[static_cast<size_t>(key * c.width)], 0.0);
            const double value = std::inner_product(&dout[static_cast<size_t>(row * c.value_width)],
                                                    &dout[static_cast<size_t>(row * c.value_width)] + c.value_width,
                                                    &v[static_cast<size_t>(key * c.value_width)], 0.0);
            const double p = std::exp(s * static_cast<double>(c.scale()));
            sum += p;
            weighted += p * value;
          }
          loss += weighted / sum;
        }
      }
    }
    return loss;
  }
};

// dq of one document and one head in double, by the softmax's derivative.
std::vector<double> true_dq(Program& p, const AttentionConfig& c) {
  const AttentionViews views = test::views_of(p);
  const std::vector<double> q = operand_values(p, views.q, c.dtype), k = operand_values(p, views.k, c.dtype);
  const std::vector<double> v = operand_values(p, views.v, c.dtype), dout = operand_values(p, views.dout, DType::kF32);
  const auto dot = [](const double* x, const double* y, int64_t n) { return std::inner_product(x, x + n, y, 0.0); };
  std::vector<double> dq(q.size(), 0.0);
  for (int64_t i = 0; i < c.n_rows(); ++i) {
    std::vector<double> weights, dp;
    double sum = 0, mean = 0;
    for (int64_t j = 0; j <= i; ++j) {
      weights.push_back(
          std::exp(dot(&q[static_cast<size_t>(i * c.width)], &k[static_cast<size_t>(j * c.width)], c.width) *
                   static_cast<double>(c.scale())));
      dp.push_back(dot(&dout[static_cast<size_t>(i * c.value_width)], &v[static_cast<size_t>(j * c.value_width)],
                       c.value_width));
      sum += weights.back();
    }
    for (size_t j = 0; j < weights.size(); ++j) mean += weights[j] / sum * dp[j];
    for (size_t j = 0; j < weights.size(); ++j) {
      const double ds = weights[j] / sum * (dp[j] - mean) * static_cast<double>(c.scale());
      for (int64_t d = 0; d < c.width; ++d)
        dq[static_cast<size_t>(i * c.width + d)] += ds * k[j * static_cast<size_t>(c.width) + static_cast<size_t>(d)];
    }
  }
  return dq;
}

// Rows of few positions, and rows that look at one position alone: what their gradient is made of nearly cancels.
TEST(AttentionGradOp, ShortAndSaturatedRowsAreTrue) {
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    for (const int64_t n : {2, 3, 4, 40, 600}) {
      for (const int64_t scale_log2 : {-3, 0, 1}) {
        const AttentionConfig config{.dtype = dtype,
                                     .lengths = {n},
                                     .heads = 1,
                                     .width = 8,
                                     .value_width = 24,
                                     .scale_log2 = scale_log2,
                                     .has_gradient = true};
        Program p = test::attention_program(config);
        test::expect_near_by_norm(output_values(p, test::reference_outcome(p), kDq), true_dq(p, config),
                                  dtype == DType::kBF16 ? 0x1p-7 : 4e-6,
                                  std::to_string(n) + " rows, scale 2^" + std::to_string(scale_log2));
      }
    }
  }
}

TEST(AttentionGradOp, IsTheDerivative) {
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    const AttentionConfig config{.dtype = dtype,
                                 .lengths = {9, 4},
                                 .heads = 4,
                                 .key_heads = 2,
                                 .width = 5,
                                 .value_width = 4,
                                 .scale_log2 = -1,
                                 .has_gradient = true};
    Program p = test::attention_program(config);
    const AttentionViews views = test::views_of(p);
    const check::Outcome outcome = test::reference_outcome(p);
    std::vector<double> q = operand_values(p, views.q, dtype), k = operand_values(p, views.k, dtype);
    std::vector<double> v = operand_values(p, views.v, dtype);
    const std::vector<double> dout = operand_values(p, views.dout, DType::kF32);
    const Loss loss{config, views.sequences, dout};
    // Longest sums: 9 positions times a few products of 5. Rounded operands (bf16) err by 2^-9 each.
    const double bound = dtype == DType::kBF16 ? 0x1p-5 : 45 * 0x1p-21;
    const auto expect_near = [&](std::vector<double>& x, Output output, const char* what) {
      std::vector<double> want;
      for (double& element : x) {
        constexpr double kStep = 1e-4;
        const double kept = element;
        element = kept + kStep;
        const double above = loss.of(q, k, v);
        element = kept - kStep;
        want.push_back((above - loss.of(q, k, v)) / (2 * kStep));
        element = kept;
      }
      test::expect_near_by_norm(output_values(p, outcome, output), want, bound, what);
    };
    expect_near(q, kDq, "dq");
    expect_near(k, kDk, "dk");
    expect_near(v, kDv, "dv");
  }
}

}  // namespace
}  // namespace naru
