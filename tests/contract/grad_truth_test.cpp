// Gradients of the reference chip against derivatives, in double, of the forward's definition. Bounds count roundings
// (kUnit each) through the op, first order, with sums taken over absolute values: a row sum of n has n / 16 + 5 of them
// (lanes, fold, + 0), a dot over T rows T + 1, an exp 1.8 and what its argument was off by.
#include <numeric>

#include "tests/contract/grad_rig.h"

namespace naru::row_tests {
namespace {

double row_roundings(int64_t n) {
  return static_cast<double>(n) / 16 + 5;
}

TEST(GradTruth, SumsOverRows) {
  Filler filler(401);
  const int64_t rows = 5000, cols = 5;
  Rows x(rows, cols, filler, Values::kPlain), out(1, cols, filler, Values::kPlain), slots(rows / 4, cols);
  const Rows start = out;
  run_reference(contract::ColumnSum{x.view(), out.view()});
  run_reference(contract::SumSlots{x.view(), slots.view()});
  for (int64_t k = 0; k < cols; ++k) {
    double sum = start.row(0)[k], size = std::fabs(sum);
    for (int64_t t = 0; t < rows; ++t) sum += x.row(t)[k], size += std::fabs(x.row(t)[k]);
    EXPECT_NEAR(out.row(0)[k], sum, (2048 + 4) * kUnit * size);  // a chain, the tree of three, + 0, the addition
    for (int64_t t = 0; t < rows / 4; ++t) {
      double four = 0, four_size = 0;
      for (int64_t s = 0; s < 4; ++s) four += x.row(4 * t + s)[k], four_size += std::fabs(x.row(4 * t + s)[k]);
      EXPECT_NEAR(slots.row(t)[k], four, 4 * kUnit * four_size);
    }
  }
}

double rms_of(const std::vector<double>& x, double eps) {
  double squares = 0;
  for (const double value : x) squares += value * value;
  return 1 / std::sqrt(squares / static_cast<double>(x.size()) + eps);
}

// r is off by half of a row sum's roundings and 4; xh by one more; c by theirs and a row sum's.
TEST(GradTruth, RmsNorm) {
  Filler filler(402);
  const float eps = 1e-3f;
  for (const Shape shape : {Shape{7, 1}, Shape{40, 100}}) {
    const int64_t n = shape.cols;
    Rows x(shape.rows, n, filler, Values::kPlain), dy(shape.rows, n, filler, Values::kPlain);
    Rows weight(1, n, filler, Values::kPlain), dx(shape.rows, n), dweight(1, n);
    for (int64_t k = 0; k < n; ++k) dweight.row(0)[k] = 0.25f;
    run_reference(contract::RmsNormGrad{x.view(), weight.view(), eps, dy.view(), dx.view(), dweight.view()});
    std::vector<double> dw(static_cast<size_t>(n), 0.25), dw_size(static_cast<size_t>(n), 0.25);
    for (int64_t t = 0; t < shape.rows; ++t) {
      std::vector<double> row = doubles(x.row(t), n);
      const double r = rms_of(row, eps);
      const auto loss = [&] {
        const double at = rms_of(row, eps);
        double sum = 0;
        for (size_t k = 0; k < row.size(); ++k)
          sum += static_cast<double>(dy.row(t)[k]) * weight.row(0)[k] * row[k] * at;
        return sum;
      };
      double mean_size = 0;  // of |g xh|
      for (int64_t k = 0; k < n; ++k) {
        const double term = static_cast<double>(dy.row(t)[k]) * x.row(t)[k] * r;
        mean_size += std::fabs(term * weight.row(0)[k]) / static_cast<double>(n);
        dw[static_cast<size_t>(k)] += term;
        dw_size[static_cast<size_t>(k)] += std::fabs(term);
      }
      for (int64_t k = 0; k < n; ++k) {
        const double g = std::fabs(static_cast<double>(dy.row(t)[k]) * weight.row(0)[k]);
        const double size = r * (g + std::fabs(row[static_cast<size_t>(k)] * r) * mean_size);
        EXPECT_NEAR(dx.row(t)[k], derivative_at(row, static_cast<size_t>(k), loss),
                    (3 * row_roundings(n) + 20) * kUnit * size + 1e-10)
            << t << " " << k;
      }
    }
    for (int64_t k = 0; k < n; ++k) {
      const double roundings = static_cast<double>(shape.rows) + row_roundings(n) / 2 + 8;
      EXPECT_NEAR(dweight.row(0)[k], dw[static_cast<size_t>(k)], roundings * kUnit * dw_size[static_cast<size_t>(k)]);
    }
  }
}

// The forward is linear: its derivative is what it makes of unit vectors.
TEST(GradTruth, Rope) {
  Filler filler(403);
  const int64_t n_pairs = 5;
  for (const auto layout : {contract::RopeLayout::kInterleaved, contract::RopeLayout::kHalfSplit}) {
    Rows dy(6, 2 * n_pairs, filler, Values::kPlain), dx(6, 2 * n_pairs), unit(6, 2 * n_pairs), turned(6, 2 * n_pairs);
    Rows cos(3, n_pairs, filler, Values::kPlain), sin(3, n_pairs, filler, Values::kPlain);
    run_reference(contract::RopeGrad{dy.view(), cos.view(), sin.view(), 2, layout, dx.view()});
    for (int64_t j = 0; j < 2 * n_pairs; ++j) {
      for (int64_t row = 0; row < 6; ++row)
        for (int64_t k = 0; k < 2 * n_pairs; ++k) unit.row(row)[k] = k == j ? 1.0f : 0.0f;
      run_reference(contract::Rope{unit.view(), cos.view(), sin.view(), 2, layout, turned.view()});
      for (int64_t row = 0; row < 6; ++row) {
        double sum = 0, size = 0;
        for (int64_t k = 0; k < 2 * n_pairs; ++k) {
          const double term = static_cast<double>(turned.row(row)[k]) * dy.row(row)[k];
          sum += term, size += std::fabs(term);
        }
        EXPECT_NEAR(dx.row(row)[j], sum, 2 * kUnit * size) << row << " " << j;
      }
    }
  }
}

// s and a are off by 4 roundings (exp, addition, division); fma(a, 1 - s, s) by at most 12 of |a| + s.
TEST(GradTruth, SiluMul) {
  Filler filler(404);
  const int64_t n = 500;
  Rows gate(1, n, filler, Values::kPlain), up(1, n, filler, Values::kPlain), dy(1, n, filler, Values::kPlain);
  for (int64_t k = 0; k < n; ++k) gate.row(0)[k] *= 4.0f;
  Rows dgate(1, n), dup(1, n);
  run_reference(contract::SiluMulGrad{gate.view(), up.view(), dy.view(), dgate.view(), dup.view()});
  const auto silu = [](double x) { return x / (1 + std::exp(-x)); };
  for (int64_t k = 0; k < n; ++k) {
    const double x = gate.row(0)[k], product = static_cast<double>(dy.row(0)[k]) * up.row(0)[k];
    const double a = silu(x), s = 1 / (1 + std::exp(-x));
    EXPECT_NEAR(dgate.row(0)[k], product * derivative(silu, x),
                16 * kUnit * std::fabs(product) * (std::fabs(a) + s) + 1e-10);
    EXPECT_NEAR(dup.row(0)[k], dy.row(0)[k] * a, 6 * kUnit * std::fabs(dy.row(0)[k] * a));
  }
}

TEST(GradTruth, Combine) {
  Filler filler(405);
  const int64_t rows = 4, n_chosen = 3, n = 200;
  Rows y(rows * n_chosen, n, filler, Values::kPlain), gates(rows, n_chosen, filler, Values::kPlain);
  Rows dout(rows, n, filler, Values::kPlain), dy(rows * n_chosen, n), dgates(rows, n_chosen);
  run_reference(contract::CombineGrad{y.view(), gates.view(), dout.view(), dy.view(), dgates.view()});
  for (int64_t i = 0; i < rows * n_chosen; ++i) {
    const int64_t t = i / n_chosen, s = i % n_chosen;
    double sum = 0, size = 0;
    for (int64_t k = 0; k < n; ++k) {
      const double term = static_cast<double>(dout.row(t)[k]) * y.row(i)[k];
      sum += term, size += std::fabs(term);
      const double grad = static_cast<double>(gates.row(t)[s]) * dout.row(t)[k];
      EXPECT_NEAR(dy.row(i)[k], grad, kUnit * std::fabs(grad));
    }
    EXPECT_NEAR(dgates.row(t)[s], sum, row_roundings(n) * kUnit * size);
  }
}

std::vector<double> true_scores(const std::vector<double>& logits, contract::Scoring scoring) {
  std::vector<double> scores;
  double sum = 0;
  for (const double x : logits) {
    scores.push_back(scoring == contract::Scoring::kSigmoid ? 1 / (1 + std::exp(-x)) : std::exp(x));
    sum += scores.back();
  }
  for (double& score : scores) score /= scoring == contract::Scoring::kSigmoid ? 1 : sum;
  return scores;
}

// Logits lie within 4 of each other, so scores are off by at most 24 roundings: an exp's argument by 4, twice 1.8,
// a row sum of 24 by 7, the rest divisions. h, n, d, c and u each keep at most three scores' errors and ten of their
// own, of terms taken absolutely; two such steps follow each other.
constexpr double kRouteRoundings = 200;

TEST(GradTruth, Route) {
  Filler filler(406);
  const int64_t n = 24, rows = 6;
  const int32_t chosen[] = {1, 4, 5, 17};
  for (const auto scoring : {contract::Scoring::kSoftmax, contract::Scoring::kSigmoid}) {
    for (const int flags : {0, 1, 2, 3}) {
      Rows logits(rows, n, filler, Values::kPlain), experts(rows, 4), dgates(rows, 4, filler, Values::kPlain);
      Rows dscores(rows, n, filler, Values::kPlain), dlogits(rows, n);
      const bool normalise = (flags & 1) != 0, has_dscores = (flags & 2) != 0;
      for (int64_t t = 0; t < rows; ++t) std::copy_n(chosen, 4, experts.row_i32(t));
      run_reference(contract::RouteGrad{logits.view(), experts.view_i32(), dgates.view(),
                                        has_dscores ? dscores.view() : View{}, scoring, normalise, 2.5f,
                                        dlogits.view()});
      for (int64_t t = 0; t < rows; ++t) {
        std::vector<double> row = doubles(logits.row(t), n);
        double size = has_dscores ? 2 : 0;  // of the scores' gradients
        const auto loss = [&] {
          const std::vector<double> scores = true_scores(row, scoring);
          double sum = 0, total = 0;
          for (const int32_t e : chosen) total += scores[static_cast<size_t>(e)];
          for (int64_t s = 0; s < 4; ++s) {
            const double gate = scores[static_cast<size_t>(chosen[s])] / (normalise ? total + 1e-20 : 1);
            sum += dgates.row(t)[s] * gate * 2.5;
          }
          for (int64_t e = 0; e < n && has_dscores; ++e) sum += dscores.row(t)[e] * scores[static_cast<size_t>(e)];
          return sum;
        };
        const std::vector<double> scores = true_scores(row, scoring);
        double total = 0;
        for (const int32_t e : chosen) total += scores[static_cast<size_t>(e)];
        size += 2 * 2 * 2.5 / (normalise ? total : 1);  // |h| + |c| over d, of dgates below 2
        for (int64_t e = 0; e < n; ++e) {
          const double bound = kRouteRoundings * kUnit * 2 * size * scores[static_cast<size_t>(e)];
          EXPECT_NEAR(dlogits.row(t)[e], derivative_at(row, static_cast<size_t>(e), loss), bound + 1e-10)
              << t << " " << e << " flags " << flags;
        }
      }
    }
  }
}

// The loss itself, and through route_grad its derivative by every logit, with the experts' loads held fixed.
TEST(GradTruth, BalanceLoss) {
  Filler filler(407);
  const int64_t n = 24, rows = 9, n_chosen = 3;
  constexpr int32_t kNoPages[1] = {};
  const contract::SequenceRows rows_of{2, 6, 0, kNoPages};
  const contract::Sequences sequence({&rows_of, 1});
  const float weight = 0.5f;
  for (const auto scoring : {contract::Scoring::kSoftmax, contract::Scoring::kSigmoid}) {
    Rows logits(rows, n, filler, Values::kPlain), experts(rows, n_chosen), dgates(rows, n_chosen);
    Rows loss(1, 1), dscores(rows, n), dlogits(rows, n);
    std::vector<double> f(static_cast<size_t>(n), 0.0), flat;
    for (int64_t t = 0; t < rows; ++t) {
      for (int64_t s = 0; s < n_chosen; ++s) {
        dgates.row(t)[s] = 0.0f;
        experts.row_i32(t)[s] = static_cast<int32_t>(s * 8 + filler.bits() % 4);
        if (t >= 2 && t < 8) f[static_cast<size_t>(experts.row_i32(t)[s])] += 24.0 / (3 * 6);
      }
      const std::vector<double> row = doubles(logits.row(t), n);
      flat.insert(flat.end(), row.begin(), row.end());
    }
    const auto true_loss = [&] {
      double sum = 0;
      for (int64_t t = 2; t < 8; ++t) {
        std::vector<double> a = true_scores({flat.begin() + t * n, flat.begin() + (t + 1) * n}, scoring);
        double total = 0, weighed = 0;
        for (const double score : a) total += score;
        for (size_t e = 0; e < a.size(); ++e) weighed += f[e] * a[e] / total;
        sum += weighed / 6;
      }
      return static_cast<double>(weight) * sum;
    };
    run_reference(contract::BalanceLoss{logits.view(), experts.view_i32(), scoring, weight, sequence, loss.view(),
                                        dscores.view()});
    run_reference(contract::RouteGrad{logits.view(), experts.view_i32(), dgates.view(), dscores.view(), scoring, false,
                                      1.0f, dlogits.view()});
    EXPECT_NEAR(*loss.row(0), true_loss(), 60 * kUnit * true_loss());
    for (int64_t t = 0; t < rows; ++t) {
      for (int64_t e = 0; e < n; ++e) {
        // b is at most 4 * 1.34 * weight / n; its quotient by D, where scores are sigmoids, below that over 3.
        const double size = 4 * 1.34 * weight / 6;
        EXPECT_NEAR(dlogits.row(t)[e], derivative_at(flat, static_cast<size_t>(t * n + e), true_loss),
                    kRouteRoundings * kUnit * 2 * size + 1e-10)
            << t << " " << e;
      }
    }
    EXPECT_EQ(dscores.row(1)[3], 0.0f);  // no sequence's
    EXPECT_EQ(dscores.row(8)[3], 0.0f);
  }
}

// Logits lie within 16 of the largest: an exp is off by 16 + 1.8, l by that and a row sum, p by both and a division.
TEST(GradTruth, CrossEntropy) {
  Filler filler(408);
  const int64_t n = 300;
  Rows logits(5, n, filler, Values::kPlain), targets(5, 1), weights(5, 1), loss(5, 1), dlogits(5, n);
  for (int64_t t = 0; t < 5; ++t) {
    *targets.row_i32(t) = static_cast<int32_t>(70 * t);
    *weights.row(t) = 0.125f * static_cast<float>(t + 1);
    for (int64_t k = 0; k < n; ++k) logits.row(t)[k] *= 4.0f;
  }
  run_reference(contract::CrossEntropy{logits.view(), targets.view_i32(), weights.view(), loss.view(), dlogits.view()});
  for (int64_t t = 0; t < 5; ++t) {
    std::vector<double> row = doubles(logits.row(t), n);
    const auto target = static_cast<size_t>(*targets.row_i32(t));
    const auto true_loss = [&] {
      double sum = 0;
      for (const double x : row) sum += std::exp(x);
      return std::log(sum) - row[target];
    };
    const double share = 18 + row_roundings(n);
    EXPECT_NEAR(*loss.row(t), true_loss(), kUnit * (16 + 4 * true_loss() + share));
    for (int64_t k = 0; k < n; ++k) {
      const double is_target = static_cast<size_t>(k) == target ? 1 : 0, weight = *weights.row(t);
      const double truth = weight * derivative_at(row, static_cast<size_t>(k), true_loss);
      const double p = truth / weight + is_target;
      EXPECT_NEAR(dlogits.row(t)[k], truth, kUnit * weight * (p * (18 + share) + 2) + 1e-11) << t << " " << k;
    }
  }
}

// A target that is nearly certain: its own entry is small, and right all the same.
TEST(GradTruth, CrossEntropyOfACertainTarget) {
  Filler filler(410);
  const int64_t n = 300;
  Rows logits(12, n, filler, Values::kPlain), targets(12, 1), weights(12, 1), loss(12, 1), dlogits(12, n);
  for (int64_t t = 0; t < 12; ++t) {
    *targets.row_i32(t) = static_cast<int32_t>(23 * t);
    *weights.row(t) = 0.5f;
    logits.row(t)[23 * t] = 4.0f + 1.5f * static_cast<float>(t);
  }
  run_reference(contract::CrossEntropy{logits.view(), targets.view_i32(), weights.view(), loss.view(), dlogits.view()});
  for (int64_t t = 0; t < 12; ++t) {
    double others = 0;
    for (int64_t k = 0; k < n; ++k) others += k == 23 * t ? 0 : std::exp(static_cast<double>(logits.row(t)[k]));
    const double p = others / (others + std::exp(static_cast<double>(logits.row(t)[23 * t])));
    // Arguments of exp are off by up to 24 half units, both sums by a row sum's roundings.
    EXPECT_NEAR(dlogits.row(t)[23 * t], -p / 2, (24 + 4 + 2 * row_roundings(n)) * kUnit * p / 2) << t;
  }
}

// Routers that are nearly certain: every logit's gradient, which is small, by its row's norm.
TEST(GradTruth, RouteOfACertainExpert) {
  Filler filler(411);
  const int64_t n = 24, rows = 40;
  const int32_t chosen[] = {1, 4, 5};
  for (const auto scoring : {contract::Scoring::kSoftmax, contract::Scoring::kSigmoid}) {
    for (const bool normalise : {false, true}) {
      const bool is_sigmoid = scoring == contract::Scoring::kSigmoid;
      Rows logits(rows, n, filler, Values::kPlain), experts(rows, 3), dgates(rows, 3, filler, Values::kPlain);
      Rows dlogits(rows, n);
      for (int64_t t = 0; t < rows; ++t) {
        std::copy_n(chosen, 3, experts.row_i32(t));
        // Sigmoids near 1; one softmax near 1; where sigmoids are normalised, one near 1 among tiny ones.
        for (int64_t e = 0; e < n; ++e) logits.row(t)[e] += !is_sigmoid ? 0.0f : normalise ? -10.0f : 10.0f;
        if (!is_sigmoid || normalise) logits.row(t)[4] = 12.0f;
      }
      run_reference(contract::RouteGrad{
          logits.view(), experts.view_i32(), dgates.view(), {}, scoring, normalise, 1.0f, dlogits.view()});
      for (int64_t t = 0; t < rows; ++t) {
        const std::vector<double> a = true_scores(doubles(logits.row(t), n), scoring);
        std::vector<double> u(static_cast<size_t>(n), 0.0);
        double total = 0, mean = 0;
        for (const int32_t e : chosen) total += a[static_cast<size_t>(e)];
        for (int64_t s = 0; s < 3; ++s) mean += dgates.row(t)[s] * a[static_cast<size_t>(chosen[s])] / total;
        for (int64_t s = 0; s < 3; ++s)
          u[static_cast<size_t>(chosen[s])] = normalise ? (dgates.row(t)[s] - mean) / total : dgates.row(t)[s];
        const double c = is_sigmoid ? 0 : std::inner_product(a.begin(), a.end(), u.begin(), 0.0);
        double error = 0, norm = 0;
        for (size_t e = 0; e < a.size(); ++e) {
          const double want = is_sigmoid ? u[e] / (2 + std::exp(static_cast<double>(logits.row(t)[e])) +
                                                   std::exp(-static_cast<double>(logits.row(t)[e])))
                                         : a[e] * (u[e] - c);
          error += std::pow(dlogits.row(t)[e] - want, 2), norm += want * want;
        }
        EXPECT_LE(std::sqrt(error), kRouteRoundings * kUnit * std::sqrt(norm)) << t << " normalised " << normalise;
      }
    }
  }
}

TEST(GradTruth, Embed) {
  Filler filler(409);
  const int64_t tokens = 50, n = 7, rows = 6;
  Rows ids(tokens, 1), dy(tokens, n, filler, Values::kPlain), out(rows, n, filler, Values::kPlain);
  const Rows start = out;
  for (int64_t t = 0; t < tokens; ++t) *ids.row_i32(t) = static_cast<int32_t>(filler.bits() % 5);
  run_reference(contract::EmbedGrad{ids.view_i32(), dy.view(), out.view()});
  for (int64_t v = 0; v < rows; ++v) {
    for (int64_t k = 0; k < n; ++k) {
      double sum = start.row(v)[k], size = std::fabs(sum);
      for (int64_t t = 0; t < tokens; ++t) {
        if (*ids.row_i32(t) != v) continue;
        sum += dy.row(t)[k], size += std::fabs(dy.row(t)[k]);
      }
      EXPECT_NEAR(out.row(v)[k], sum, tokens * kUnit * size);
    }
  }
}

}  // namespace
}  // namespace naru::row_tests
