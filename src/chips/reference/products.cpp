// The products of training: a packed matrix refreshed from f32 values, the gradient of a weight as a dot over token
// slots, and the product of two views. Columns are gathered into rows first, so that a dot is dot_f32 or dot_bf16.
#include "chips/reference/ops.h"

namespace naru::reference {
namespace {

using contract::Rule;

// Row i of a [n, inputs] operand that lies transposed or not, rounded by the rule.
std::vector<float> operand_row(const View& view, bool is_transposed, int64_t i, Rule rule) {
  const int64_t inputs = is_transposed ? view.rows : view.cols;
  std::vector<float> row(static_cast<size_t>(inputs));
  for (int64_t k = 0; k < inputs; ++k) {
    const float value = is_transposed ? f32(view, k)[i] : f32(view, i)[k];
    row[static_cast<size_t>(k)] = rule == Rule::kBF16 ? round_to_bf16(value) : value;
  }
  return row;
}

// Column c of the rows that `slots` / rows_share names, rounded by the rule.
std::vector<float> column_of_slots(const View& view, const std::vector<int64_t>& slots, int64_t rows_share, int64_t c,
                                   Rule rule) {
  std::vector<float> column;
  for (const int64_t slot : slots) {
    const float value = f32(view, slot / rows_share)[c];
    column.push_back(rule == Rule::kBF16 ? round_to_bf16(value) : value);
  }
  return column;
}

float dot(const std::vector<float>& a, const std::vector<float>& b, Rule rule) {
  const auto n = static_cast<int64_t>(a.size());
  return rule == Rule::kBF16 ? dot_bf16(a.data(), b.data(), n) : dot_f32(a.data(), b.data(), n);
}

}  // namespace

template <>
Status run(const contract::Pack& op) {
  auto& matrix = static_cast<Matrix&>(*op.out);
  for (int64_t group = 0; group < matrix.groups; ++group) {
    for (int64_t output = 0; output < matrix.outputs; ++output) {
      const std::vector<float> row =
          operand_row(op.groups[static_cast<size_t>(group)], op.is_transposed, output, Rule::kF32);
      float* out = matrix.values.data() + (group * matrix.outputs + output) * matrix.inputs;
      for (const float value : row) {
        const bool is_rounded = op.is_rounded_first || matrix.rule == Rule::kBF16;
        *out++ = is_rounded ? round_to_bf16(value) : value;
      }
    }
  }
  return {};
}

template <>
Status run(const contract::WeightGrad& op) {
  const auto n_groups = static_cast<int64_t>(op.out.size());
  std::vector<std::vector<int64_t>> slots(op.out.size());
  for (int64_t i = 0; i < op.dy.rows; ++i) {
    const int64_t group = op.groups.empty() ? i % n_groups : *i32(op.groups, i);
    NARU_CHECK(group >= 0 && group < n_groups, group, n_groups);
    slots[static_cast<size_t>(group)].push_back(i);
  }
  for (size_t group = 0; group < op.out.size(); ++group) {
    if (slots[group].empty()) continue;
    std::vector<std::vector<float>> x;
    for (int64_t k = 0; k < op.x.cols; ++k) {
      x.push_back(column_of_slots(op.x, slots[group], op.rows_share, k, op.rule));
    }
    for (int64_t n = 0; n < op.dy.cols; ++n) {
      const std::vector<float> dy = column_of_slots(op.dy, slots[group], 1, n, op.rule);
      float* out = f32(op.out[group], n);
      for (int64_t k = 0; k < op.x.cols; ++k) {
        out[k] = contract::add(out[k], dot(dy, x[static_cast<size_t>(k)], op.rule));
      }
    }
  }
  return {};
}

template <>
Status run(const contract::Product& op) {
  std::vector<std::vector<float>> b;
  for (int64_t j = 0; j < op.out.cols; ++j) b.push_back(operand_row(op.b, op.b_transposed, j, op.rule));
  for (int64_t i = 0; i < op.out.rows; ++i) {
    const std::vector<float> a = operand_row(op.a, op.a_transposed, i, op.rule);
    for (int64_t j = 0; j < op.out.cols; ++j) f32(op.out, i)[j] = dot(a, b[static_cast<size_t>(j)], op.rule);
  }
  return {};
}

}  // namespace naru::reference
