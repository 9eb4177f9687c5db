// Programs of attention for tests that change some of their operands, or compute them again in double.
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "base/float_bits.h"
#include "tests/chip_memory.h"
#include "tests/contract/case_rig.h"

namespace naru::test {

struct AttentionConfig {
  DType dtype = DType::kF32;
  std::vector<int64_t> lengths = {1};  // the first document has the last rows
  int64_t heads = 2, key_heads = 1, width = 16, value_width = 16;
  int64_t scale_log2 = -3;
  std::string lists = "every";
  bool has_gradient = false;
  uint64_t seed = 1;

  int64_t n_rows() const {
    int64_t n = 0;
    for (const int64_t length : lengths) n += length;
    return n;
  }
  float scale() const { return std::ldexp(1.0f, static_cast<int>(scale_log2)); }
};

// Its outputs; the last three with a gradient.
enum Output : size_t { kOut, kStats, kDq, kDk, kDv };

inline check::Program attention_program(const AttentionConfig& c) {
  const std::string kind = std::string(dtype_name(c.dtype)) + "/grouped/" + c.lists;
  return check::build(check::make_case(c.has_gradient ? "attention_grad" : "attention",
                                       c.has_gradient ? kind : kind + "/stats",
                                       {{"heads", {c.heads}},
                                        {"key_heads", {c.key_heads}},
                                        {"width", {c.width}},
                                        {"value_width", {c.value_width}},
                                        {"scale_log2", {c.scale_log2}},
                                        {"lengths", c.lengths}},
                                       check::Values::kPlain, c.seed));
}

// The operands of such a program; dout where it has a gradient.
struct AttentionViews {
  View k, v, q, selected, dout;
  contract::SequencesRef sequences;
};
inline AttentionViews views_of(const check::Program& p) {
  AttentionViews views;
  views.k = std::get<contract::CacheWrite>(p.ops()[0]).x;
  views.v = std::get<contract::CacheWrite>(p.ops()[1]).x;
  const auto& forward = std::get<contract::Attention>(p.ops()[2]);
  views.q = forward.q;
  views.selected = forward.selected;
  views.sequences = forward.sequences;
  if (p.ops().size() > 3) views.dout = std::get<contract::AttentionGrad>(p.ops()[3]).dout;
  return views;
}

// A program's values of a view in double, as an op reads operands of a dtype.
inline std::vector<double> operand_values(check::Program& p, const View& view, DType dtype) {
  std::vector<double> values;
  for (int64_t r = 0; r < view.rows; ++r) {
    const float* row = p.row(view, r);
    for (int64_t k = 0; k < view.cols; ++k) {
      values.push_back(static_cast<double>(dtype == DType::kBF16 ? round_to_bf16(row[k]) : row[k]));
    }
  }
  return values;
}

// The norm of got - want is at most `bound` of want's, which is no zero.
inline void expect_near_by_norm(const std::vector<float>& got, const std::vector<double>& want, double bound,
                                const std::string& what) {
  double error = 0, norm = 0;
  for (size_t i = 0; i < want.size(); ++i) {
    error += std::pow(static_cast<double>(got[i]) - want[i], 2);
    norm += want[i] * want[i];
  }
  EXPECT_LE(std::sqrt(error), bound * std::sqrt(norm)) << what;
  EXPECT_GT(norm, 0.0) << what;
}

}  // namespace naru::test
