// Attention over selected positions and its gradient: complete lists against attention without, lists that are none,
// keys that nobody sees, and the reference chip against attention in double. Its bits are cases of src/check/.
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

constexpr Output kEveryOutput[] = {kOut, kStats, kDq, kDk, kDv};

// A list of everything gives the bits of attention without one, on every chip.
TEST(SelectedKeys, CompleteListsArePlainAttention) {
  const auto make = [](const std::string& dtype, const char* form, const char* lists, int64_t width,
                       int64_t value_width, std::vector<int64_t> lengths) {
    return check::build(check::make_case("attention_grad", dtype + "/" + form + "/" + lists,
                                         {{"heads", {3}},
                                          {"key_heads", {1}},
                                          {"width", {width}},
                                          {"value_width", {value_width}},
                                          {"lengths", std::move(lengths)}}));
  };
  const auto expect_alike = [](const Program& with, const Program& without, bool is_large) {
    const check::Outcome want = test::reference_outcome(with);
    for (const test::NamedChip& named : test::cpu_chips()) {
      if (is_large && test::is_slow(named)) continue;
      const check::Outcome got = test::outcome_on(*named.chip, without);
      for (const Output output : kEveryOutput) {
        ASSERT_EQ(output_values(without, got, output), output_values(with, want, output)) << output << named.name;
      }
    }
  };
  for (const std::string dtype : {"f32", "bf16"}) {
    for (const char* form : {"grouped", "latent"}) {
      expect_alike(make(dtype, form, "all", 33, 17, {3, 70, 31}), make(dtype, form, "every", 33, 17, {3, 70, 31}),
                   false);
      expect_alike(make(dtype, form, "all", 4, 3, {3, 530, 31}), make(dtype, form, "every", 4, 3, {3, 530, 31}), true);
    }
  }
}

// Every chip says the same of a list that is none, and reads nothing outside of the cache.
TEST(SelectedKeys, RefusesWrongLists) {
  const std::vector<int32_t> wrongs[] = {{-1},    {-2},     {0, -2},      {0, 0},      {3, 2},         {41},
                                         {0, 41}, {40, 41}, {5, 1 << 30}, {INT32_MIN}, {0, INT32_MAX}, {40, 40}};
  const std::string wanted[] = {"entry 0 of its selected positions is -1, one from 0 to 40 was wanted",
                                "entry 0 of its selected positions is -2, one from 0 to 40 was wanted",
                                "entry 1 of its selected positions is -2, one from 1 to 40 or -1 was wanted"};
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    for (size_t w = 0; w < std::size(wrongs); ++w) {
      for (const bool is_gradient : {false, true}) {
        // The second document has the first rows. The gradient's own lists are wrong, not those of its forward.
        Program p = test::attention_program({.dtype = dtype,
                                             .lengths = {300, 45},
                                             .width = 8,
                                             .value_width = 8,
                                             .lists = "sparse",
                                             .has_gradient = is_gradient});
        const View lists = test::views_of(p).selected;
        View spoilt = lists;
        if (is_gradient) {
          std::vector<int32_t> copy;
          for (int64_t r = 0; r < lists.rows; ++r)
            copy.insert(copy.end(), p.row_i32(lists, r), p.row_i32(lists, r) + lists.cols);
          spoilt = p.ints(copy, lists.rows, lists.cols);
          auto op = std::get<contract::AttentionGrad>(p.ops()[3]);
          op.selected = spoilt;
          p.replace_last(op);
        }
        std::copy(wrongs[w].begin(), wrongs[w].end(), p.row_i32(spoilt, 40));
        if (wrongs[w].size() == 1) p.row_i32(spoilt, 40)[1] = -1;
        if (wrongs[w].size() == 2) p.row_i32(spoilt, 40)[2] = -1;
        p.row_i32(spoilt, 42)[0] = 77;  // the first one is named
        const check::Outcome outcome = test::expect_equal("wrong list", p);
        ASSERT_FALSE(outcome.status.ok()) << w;
        EXPECT_EQ(outcome.status.error().code, Code::kOutOfRange);
        const std::string begin = std::string(is_gradient ? "attention_grad" : "attention") + ": row 40: ";
        EXPECT_EQ(outcome.status.error().message.find(begin + (w < 3 ? wanted[w] : "")), 0u)
            << outcome.status.error().message;
      }
    }
  }
}

// Keys that no query selects get +0.
TEST(SelectedKeys, AbsentKeysGetZero) {
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    const Program p = test::attention_program({.dtype = dtype,
                                               .lengths = {80},
                                               .heads = 3,
                                               .width = 8,
                                               .value_width = 8,
                                               .lists = "first",
                                               .has_gradient = true});
    const check::Outcome outcome = test::expect_equal("absent", p);
    const std::vector<float> dk = output_values(p, outcome, kDk), dv = output_values(p, outcome, kDv);
    for (size_t i = 8; i < dk.size(); ++i) {
      ASSERT_EQ(std::bit_cast<uint32_t>(dk[i]), 0u) << i;
      ASSERT_EQ(std::bit_cast<uint32_t>(dv[i]), 0u) << i;
    }
    EXPECT_NE(dv[0], 0.0f);
  }
}

// ---- in double

// Attention over the listed positions and its gradient, by the softmax's derivative.
struct TrueLists {
  std::vector<double> out, dq, dk, dv;
};
TrueLists true_lists(Program& p, const AttentionConfig& c) {
  const AttentionViews views = test::views_of(p);
  const std::vector<double> q = operand_values(p, views.q, c.dtype), k = operand_values(p, views.k, c.dtype);
  const std::vector<double> v = operand_values(p, views.v, c.dtype), dout = operand_values(p, views.dout, DType::kF32);
  TrueLists truth{std::vector<double>(dout.size()), std::vector<double>(q.size()), std::vector<double>(k.size()),
                  std::vector<double>(v.size())};
  const auto row_at = [](auto& rows, int64_t row, int64_t cols) { return rows.data() + row * cols; };
  const auto add_row = [&](int64_t begin, int64_t t, int64_t h) {
    const int64_t row = t * c.heads + h;
    const double *qi = row_at(q, row, c.width), *doi = row_at(dout, row, c.value_width);
    std::vector<double> weights, dp;
    std::vector<int64_t> keys;
    double sum = 0, mean = 0;
    const int32_t* list = p.row_i32(views.selected, t);
    for (int64_t i = 0; i < views.selected.cols && list[i] >= 0; ++i) {
      keys.push_back((begin + list[i]) * c.key_heads + h / (c.heads / c.key_heads));
      weights.push_back(std::exp(std::inner_product(qi, qi + c.width, row_at(k, keys.back(), c.width), 0.0) *
                                 static_cast<double>(c.scale())));
      dp.push_back(std::inner_product(doi, doi + c.value_width, row_at(v, keys.back(), c.value_width), 0.0));
      sum += weights.back();
    }
    for (size_t j = 0; j < weights.size(); ++j) mean += weights[j] / sum * dp[j];
    for (size_t j = 0; j < weights.size(); ++j) {
      const double weight = weights[j] / sum, ds = weight * (dp[j] - mean) * static_cast<double>(c.scale());
      for (int64_t d = 0; d < c.width; ++d) {
        row_at(truth.dq, row, c.width)[d] += ds * row_at(k, keys[j], c.width)[d];
        row_at(truth.dk, keys[j], c.width)[d] += ds * qi[d];
      }
      for (int64_t d = 0; d < c.value_width; ++d) {
        row_at(truth.out, row, c.value_width)[d] += weight * row_at(v, keys[j], c.value_width)[d];
        row_at(truth.dv, keys[j], c.value_width)[d] += weight * doi[d];
      }
    }
  };
  for (const contract::SequenceRows& rows : views.sequences) {
    for (int64_t t = rows.row_begin; t < rows.row_begin + rows.n_rows; ++t) {
      for (int64_t h = 0; h < c.heads; ++h) add_row(rows.row_begin, t, h);
    }
  }
  return truth;
}

// Bounds by norm: f32 errs by a few roundings of each of some thousand products, bf16 by 2^-9 an operand.
TEST(SelectedKeys, IsTrue) {
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    const double bound = dtype == DType::kBF16 ? 0x1p-6 : 0x1p-18;
    for (const char* lists : {"all", "sparse", "most", "pages", "recent"}) {
      const AttentionConfig config{.dtype = dtype,
                                   .lengths = {540, 70},
                                   .width = 6,
                                   .value_width = 4,
                                   .scale_log2 = -1,
                                   .lists = lists,
                                   .has_gradient = true,
                                   .seed = 67};
      Program p = test::attention_program(config);
      const check::Outcome outcome = test::reference_outcome(p);
      const TrueLists truth = true_lists(p, config);
      const std::string what = std::string(" of lists ") + lists + " " + std::string(dtype_name(dtype));
      test::expect_near_by_norm(output_values(p, outcome, kOut), truth.out, bound, "out" + what);
      test::expect_near_by_norm(output_values(p, outcome, kDq), truth.dq, bound, "dq" + what);
      test::expect_near_by_norm(output_values(p, outcome, kDk), truth.dk, bound, "dk" + what);
      test::expect_near_by_norm(output_values(p, outcome, kDv), truth.dv, bound, "dv" + what);
    }
  }
}

}  // namespace
}  // namespace naru
