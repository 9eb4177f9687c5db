// Row functions and elementwise ops: every level against the reference chip, bit for bit.
#include "contract/rows.h"

#include <string>

#include "tests/contract/row_rig.h"

namespace naru::row_tests {
namespace {

constexpr int64_t kColumns[] = {1, 2, 15, 16, 17, 31, 32, 33, 576, 2047, 2048, 2049, 7168};
constexpr Values kFinite[] = {Values::kPlain, Values::kAll, Values::kLow};
constexpr Values kEvery[] = {Values::kPlain, Values::kAll, Values::kLow, Values::kNonFinite};

std::string label(const char* op, int64_t rows, int64_t cols, Values values) {
  return std::string(op) + " " + std::to_string(rows) + " x " + std::to_string(cols) + ", values " +
         std::to_string(static_cast<int>(values));
}

// Few rows of every width, and enough rows of one width that two threads share them.
template <typename Body>
void for_shapes(const Body& body) {
  for (const int64_t cols : kColumns) body(int64_t{3}, cols);
  body(int64_t{70}, int64_t{601});
}

TEST(RowOps, RmsNorm) {
  Filler filler(1);
  for (const Values values : {Values::kPlain, Values::kLow}) {
    for_shapes([&](int64_t rows, int64_t cols) {
      Rows x(rows, cols, filler, values), weight(1, cols, filler, Values::kPlain);
      for (const float eps : {0.0f, 1e-6f}) {
        const auto op = [&](Rows& out) { return contract::RmsNorm{x.view(), weight.view(), eps, out.view()}; };
        expect_equal(label("rms_norm", rows, cols, values), Rows(rows, cols), op);
        const auto in_place = [&](Rows& out) { return contract::RmsNorm{out.view(), weight.view(), eps, out.view()}; };
        expect_equal(label("rms_norm in place", rows, cols, values), x, in_place);
      }
    });
  }
}

TEST(RowOps, RmsNormRefusesWhatIsNotFinite) {
  Filler filler(2);
  for (const float bad : {0x1p100f, std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
    Rows x(70, 601, filler, Values::kPlain), weight(1, 601, filler, Values::kPlain);
    x.row(50)[600] = bad;
    x.row(60)[3] = bad;
    const auto op = [&](Rows& out) { return contract::RmsNorm{x.view(), weight.view(), 1e-6f, out.view()}; };
    expect_equal("rms_norm", Rows(70, 601), op);
    Rows out(70, 601);
    const Status status = staged_cpu_chips().back().chip->run(op(out));
    ASSERT_FALSE(status.ok());
    EXPECT_EQ(status.error().code, Code::kOutOfRange);
    EXPECT_NE(status.error().message.find("row 50"), std::string::npos) << status.error().message;
  }
}

TEST(RowOps, RopeTable) {
  Rows positions(9, 1), frequencies(1, 37);
  const int32_t at[] = {0, 1, 2, 31, 512, 4095, 131071, 1 << 24, (1 << 24) + 1};
  for (int64_t t = 0; t < 9; ++t) *positions.row_i32(t) = at[t];
  for (int64_t i = 0; i < 37; ++i) frequencies.row(0)[i] = std::exp2(-static_cast<float>(i) * 0.5f);
  frequencies.row(0)[36] = 0x1p-130f;
  for (const float factor : {1.0f, 1.2079f}) {
    for (const bool is_sin : {false, true}) {
      Rows other(9, 37);
      expect_equal("rope_table", Rows(9, 37), [&](Rows& out) {
        return contract::RopeTable{positions.view_i32(), frequencies.view(), factor, is_sin ? other.view() : out.view(),
                                   is_sin ? out.view() : other.view()};
      });
    }
  }
}

TEST(RowOps, Rope) {
  Filler filler(3);
  for (const contract::RopeLayout layout : {contract::RopeLayout::kInterleaved, contract::RopeLayout::kHalfSplit}) {
    for (const Values values : kEvery) {
      for (const int64_t n_pairs : {1, 4, 7, 8, 9, 15, 16, 17, 24, 25, 32, 33, 64}) {
        for (const int64_t heads : {1, 3}) {
          const int64_t tokens = n_pairs == 32 ? 200 : 5;
          Rows x(tokens * heads, 2 * n_pairs, filler, values);
          Rows cos(tokens, n_pairs, filler, values), sin(tokens, n_pairs, filler, Values::kPlain);
          expect_equal(label("rope", tokens * heads, n_pairs, values), Rows(x.rows(), x.cols()), [&](Rows& out) {
            return contract::Rope{x.view(), cos.view(), sin.view(), heads, layout, out.view()};
          });
          expect_equal(label("rope in place", tokens * heads, n_pairs, values), x, [&](Rows& out) {
            return contract::Rope{out.view(), cos.view(), sin.view(), heads, layout, out.view()};
          });
        }
      }
    }
  }
}

TEST(RowOps, Elementwise) {
  Filler filler(4);
  for (const Values values : kEvery) {
    for_shapes([&](int64_t rows, int64_t cols) {
      Rows a(rows, cols, filler, values), b(rows, cols, filler, values);
      const Rows empty(rows, cols);
      expect_equal(label("add", rows, cols, values), empty, [&](Rows& out) {
        return contract::Add{a.view(), b.view(), out.view()};
      });
      expect_equal(label("add in place", rows, cols, values), b, [&](Rows& out) {
        return contract::Add{a.view(), out.view(), out.view()};
      });
      expect_equal(label("silu_mul", rows, cols, values), empty, [&](Rows& out) {
        return contract::SiluMul{a.view(), b.view(), out.view()};
      });
      expect_equal(label("silu_mul in place", rows, cols, values), a, [&](Rows& out) {
        return contract::SiluMul{out.view(), b.view(), out.view()};
      });
      expect_equal(label("round_bf16", rows, cols, values), empty, [&](Rows& out) {
        return contract::RoundBF16{a.view(), out.view()};
      });
      expect_equal(label("round_bf16 in place", rows, cols, values), a, [&](Rows& out) {
        return contract::RoundBF16{out.view(), out.view()};
      });
    });
  }
}

// exp over its whole range, both ends and the neighbours of its limits.
TEST(RowOps, SiluOverAllExponents) {
  Filler filler(5);
  Rows gate(64, 4096), up(64, 4096);
  for (int64_t r = 0; r < gate.rows(); ++r) {
    for (int64_t c = 0; c < gate.cols(); ++c) {
      const uint32_t random = filler.bits();
      const float x = r < 32 ? std::bit_cast<float>(random) : (static_cast<float>(random) * 0x1p-32f - 0.5f) * 180.0f;
      gate.row(r)[c] = x;
      up.row(r)[c] = 1.0f;
    }
  }
  const float edges[] = {0x1.62e42ep+6f, 0x1.62e430p+6f, 88.0f, 0x1.600002p+6f, -88.0f, 104.0f, 0x1p-149f, 0.0f};
  for (int64_t i = 0; i < 8; ++i) gate.row(0)[i] = edges[i], gate.row(1)[i] = -edges[i];
  expect_equal("silu_mul", Rows(64, 4096), [&](Rows& out) {
    return contract::SiluMul{gate.view(), up.view(), out.view()};
  });
}

TEST(RowOps, Combine) {
  Filler filler(6);
  for (const Values values : kFinite) {
    for (const int64_t cols : {1, 15, 17, 33, 2049}) {
      for (const int64_t n_chosen : {1, 2, 6, 8}) {
        const int64_t tokens = 11;
        Rows y(tokens * n_chosen, cols, filler, values), gates(tokens, n_chosen, filler, Values::kPlain);
        Rows shared(tokens, cols, filler, values), residual(tokens, cols, filler, values);
        for (const bool has_shared : {false, true}) {
          expect_equal(label("combine", tokens, cols, values), residual, [&](Rows& out) {
            return contract::Combine{y.view(), gates.view(), has_shared ? shared.view() : View{}, out.view(),
                                     out.view()};
          });
        }
      }
    }
  }
}

TEST(RowOps, LogProb) {
  Filler filler(7);
  for (const Values values : {Values::kPlain, Values::kLow}) {
    for (const int64_t cols : {1, 2, 15, 16, 17, 31, 33, 2047, 2048, 2049, 7168, 49152, 129280}) {
      const int64_t rows = cols > 8000 ? 2 : 5;
      Rows logits(rows, cols, filler, values), targets(rows, 1);
      for (int64_t t = 0; t < rows; ++t) {
        *targets.row_i32(t) = static_cast<int32_t>(filler.bits() % static_cast<uint32_t>(cols));
        for (int64_t c = 0; c < cols; ++c) logits.row(t)[c] *= t == 1 ? 100.0f : 1.0f;
      }
      logits.row(0)[cols - 1] = -std::numeric_limits<float>::infinity();
      if (cols == 1) logits.row(0)[0] = 3.5f;
      expect_equal(label("log_prob", rows, cols, values), Rows(rows, 1), [&](Rows& out) {
        return contract::LogProb{logits.view(), targets.view_i32(), out.view()};
      });
    }
  }
}

TEST(RowOps, LogProbRefusesWhatIsNotFinite) {
  Filler filler(8);
  const float infinity = std::numeric_limits<float>::infinity();
  for (const float bad : {infinity, std::numeric_limits<float>::quiet_NaN()}) {
    Rows logits(9, 5000, filler, Values::kPlain), targets(9, 1);
    for (int64_t t = 0; t < 9; ++t) *targets.row_i32(t) = 7;
    logits.row(5)[4999] = bad;
    logits.row(8)[0] = bad;
    expect_equal("log_prob", Rows(9, 1), [&](Rows& out) {
      return contract::LogProb{logits.view(), targets.view_i32(), out.view()};
    });
  }
}

// Both outputs of a route, experts as bits beside gates.
void expect_equal_route(const std::string& what, contract::Route op, int64_t n_chosen) {
  const int64_t rows = op.logits.rows;
  expect_equal(what, Rows(rows, 2 * n_chosen), [&](Rows& out) {
    op.gates = out.view().slice_cols(0, n_chosen);
    op.experts = out.view_i32().slice_cols(n_chosen, n_chosen);
    return op;
  });
}

TEST(RowOps, Route) {
  Filler filler(9);
  struct Shape {
    int64_t experts, chosen, groups, kept;
  };
  for (const Shape shape :
       {Shape{1, 1, 1, 1}, Shape{5, 3, 1, 1}, Shape{16, 16, 4, 4}, Shape{64, 6, 8, 3}, Shape{256, 8, 8, 4},
        Shape{160, 6, 8, 3}, Shape{33, 2, 11, 5}, Shape{7, 3, 7, 4}, Shape{1024, 32, 16, 7}}) {
    for (const Values values : kEvery) {
      for (const auto scoring : {contract::Scoring::kSoftmax, contract::Scoring::kSigmoid}) {
        for (const auto group :
             {contract::GroupScore::kNone, contract::GroupScore::kMax, contract::GroupScore::kTopTwoSum}) {
          const int64_t rows = shape.experts == 256 ? 40 : 4;
          Rows logits(rows, shape.experts, filler, values), bias(1, shape.experts, filler, Values::kPlain);
          for (int64_t e = 0; e + 3 < shape.experts; e += 3) logits.row(1)[e] = logits.row(1)[0];  // ties
          contract::Route op;
          op.logits = logits.view();
          op.scoring = scoring, op.group_score = group;
          op.n_group = shape.groups, op.topk_group = shape.kept;
          op.scale = 2.5f;
          expect_equal_route(label("route", rows, shape.experts, values), op, shape.chosen);
          op.bias = bias.view();
          op.normalise = true;
          expect_equal_route(label("route with bias", rows, shape.experts, values), op, shape.chosen);
        }
      }
    }
  }
}

}  // namespace
}  // namespace naru::row_tests
