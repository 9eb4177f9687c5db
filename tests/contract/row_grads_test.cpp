// Gradients of row functions, of the experts' combination and of the embedding, sums over rows: every level against the
// reference chip, bit for bit. Their truth is in grad_truth_test.cpp.
#include "tests/contract/grad_rig.h"

namespace naru::row_tests {
namespace {

TEST(RowGrads, ColumnSum) {
  Filler filler(101);
  std::vector<Shape> shapes = grad_shapes();
  shapes.push_back({300, 2600});  // several strips
  for (const Values values : kEveryValues) {
    for (const Shape shape : shapes) {
      Rows x(shape.rows, shape.cols, filler, values), start(1, shape.cols, filler, values);
      expect_equal(label("column_sum", shape, values), start, [&](Rows& out) {
        return contract::ColumnSum{x.view(), out.view()};
      });
    }
  }
  Rows negative_zeros(1, 20);
  for (int64_t k = 0; k < 20; ++k) negative_zeros.row(0)[k] = k % 2 == 0 ? -0.0f : -0x1p-140f;
  Rows none(0, 20);
  expect_equal("column_sum of no rows", negative_zeros, [&](Rows& out) {
    return contract::ColumnSum{none.view(), out.view()};
  });
}

TEST(RowGrads, SumSlots) {
  Filler filler(102);
  for (const Values values : kEveryValues) {
    for (const int64_t n_slots : {1, 2, 6, 8}) {
      for (const Shape shape : grad_shapes()) {
        if (shape.rows * shape.cols > 40000) continue;
        Rows x(shape.rows * n_slots, shape.cols, filler, values);
        expect_equal(label("sum_slots", shape, values), Rows(shape.rows, shape.cols), [&](Rows& out) {
          return contract::SumSlots{x.view(), out.view()};
        });
      }
    }
  }
}

TEST(RowGrads, RmsNormGrad) {
  Filler filler(103);
  std::vector<Shape> shapes = grad_shapes();
  shapes.push_back({200, 2049});  // several blocks of rows and strips
  shapes.push_back({16390, 3});   // segments enough for two threads
  shapes.push_back({600, 64});    // heads
  for (const Values values : kEveryValues) {
    for (const Shape shape : shapes) {
      Rows x(shape.rows, shape.cols, filler, values), weight(1, shape.cols, filler, Values::kPlain);
      Rows dy(shape.rows, shape.cols, filler, values);
      Rows dweight(1, shape.cols, filler, Values::kPlain);
      for (int64_t k = 0; k < shape.cols; ++k) x.row(shape.rows / 2)[k] = 0.0f;  // r is infinite where eps is 0
      for (const float eps : {0.0f, 1e-6f}) {
        const std::string what = label("rms_norm_grad", shape, values);
        const Rows empty(shape.rows, shape.cols);
        expect_outputs_equal(what, {empty, dweight}, [&](Outputs& out) {
          return contract::RmsNormGrad{x.view(), weight.view(), eps, dy.view(), out[0].view(), out[1].view()};
        });
        expect_outputs_equal(what + " in place", {dy, dweight}, [&](Outputs& out) {
          return contract::RmsNormGrad{x.view(), weight.view(), eps, out[0].view(), out[0].view(), out[1].view()};
        });
        expect_outputs_equal(what + " without dweight", {dy}, [&](Outputs& out) {
          return contract::RmsNormGrad{x.view(), weight.view(), eps, out[0].view(), out[0].view(), {}};
        });
      }
    }
  }
}

TEST(RowGrads, RopeGrad) {
  Filler filler(104);
  for (const auto layout : {contract::RopeLayout::kInterleaved, contract::RopeLayout::kHalfSplit}) {
    for (const Values values : kEveryValues) {
      for (const int64_t n_pairs : {1, 4, 7, 8, 9, 15, 16, 17, 24, 25, 32, 33, 64}) {
        for (const int64_t heads : {1, 3}) {
          const int64_t tokens = n_pairs == 32 ? 513 : 5;
          Rows dy(tokens * heads, 2 * n_pairs, filler, values);
          Rows cos(tokens, n_pairs, filler, values), sin(tokens, n_pairs, filler, Values::kPlain);
          const std::string what = label("rope_grad", {dy.rows(), n_pairs}, values);
          expect_equal(what, Rows(dy.rows(), dy.cols()), [&](Rows& out) {
            return contract::RopeGrad{dy.view(), cos.view(), sin.view(), heads, layout, out.view()};
          });
          expect_equal(what + " in place", dy, [&](Rows& out) {
            return contract::RopeGrad{out.view(), cos.view(), sin.view(), heads, layout, out.view()};
          });
        }
      }
    }
  }
}

TEST(RowGrads, SiluMulGrad) {
  Filler filler(105);
  for (const Values values : kEveryValues) {
    for (const Shape shape : grad_shapes()) {
      Rows gate(shape.rows, shape.cols, filler, values), up(shape.rows, shape.cols, filler, values);
      Rows dy(shape.rows, shape.cols, filler, values);
      const Rows empty(shape.rows, shape.cols);
      const std::string what = label("silu_mul_grad", shape, values);
      expect_outputs_equal(what, {empty, empty}, [&](Outputs& out) {
        return contract::SiluMulGrad{gate.view(), up.view(), dy.view(), out[0].view(), out[1].view()};
      });
      expect_outputs_equal(what + " in place", {dy, empty}, [&](Outputs& out) {
        return contract::SiluMulGrad{gate.view(), up.view(), out[0].view(), out[0].view(), out[1].view()};
      });
    }
  }
}

TEST(RowGrads, CombineGrad) {
  Filler filler(106);
  for (const Values values : kEveryValues) {
    for (const int64_t n_chosen : {1, 2, 3, 4, 5, 6, 7, 8}) {
      for (const Shape shape : {Shape{1, 1}, Shape{31, 15}, Shape{31, 33}, Shape{513, 17}, Shape{31, 2049}}) {
        Rows y(shape.rows * n_chosen, shape.cols, filler, values);
        Rows gates(shape.rows, n_chosen, filler, Values::kPlain), dout(shape.rows, shape.cols, filler, values);
        expect_outputs_equal(
            label("combine_grad", shape, values), {Rows(y.rows(), shape.cols), Rows(shape.rows, n_chosen)},
            [&](Outputs& out) {
              return contract::CombineGrad{y.view(), gates.view(), dout.view(), out[0].view(), out[1].view()};
            });
      }
    }
  }
}

TEST(RowGrads, EmbedGrad) {
  Filler filler(107);
  for (const Values values : kEveryValues) {
    for (const Shape shape : grad_shapes()) {  // tokens and columns
      for (const int64_t n_rows : {1, 7, 3000}) {
        if (n_rows * shape.cols > 200000) continue;
        Rows ids(shape.rows, 1), dy(shape.rows, shape.cols, filler, values);
        // Half of the tokens share two ids; most ids of a large table are absent.
        for (int64_t t = 0; t < shape.rows; ++t) {
          const uint32_t random = filler.bits();
          const uint32_t id = random % 2 == 0 ? random / 2 % 2 * 5 : random / 2;
          *ids.row_i32(t) = static_cast<int32_t>(id % static_cast<uint32_t>(n_rows));
        }
        const Rows start(n_rows, shape.cols, filler, Values::kAll);
        expect_equal(label("embed_grad", shape, values), start, [&](Rows& out) {
          return contract::EmbedGrad{ids.view_i32(), dy.view(), out.view()};
        });
      }
    }
  }
}

// Rows without tokens keep their bits, subnormals too; a row with tokens gains their sum from +0.
TEST(RowGrads, EmbedGradLeavesOtherRowsAlone) {
  Rows ids(3, 1), dy(3, 1), out(3, 1);
  for (int64_t t = 0; t < 3; ++t) *ids.row_i32(t) = t == 1 ? 0 : 2, *dy.row(t) = static_cast<float>(t + 1);
  *out.row(0) = 0.5f, *out.row(1) = -0x1p-140f, *out.row(2) = 10.0f;
  run_reference(contract::EmbedGrad{ids.view_i32(), dy.view(), out.view()});
  EXPECT_EQ(*out.row(0), 2.5f);
  EXPECT_EQ(*out.row(1), -0x1p-140f);
  EXPECT_EQ(*out.row(2), 14.0f);
}

}  // namespace
}  // namespace naru::row_tests
