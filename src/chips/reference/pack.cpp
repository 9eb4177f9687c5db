#include <fmt/format.h>

#include <cstring>

#include "chips/reference/ops.h"
#include "tensor/quant_blocks.h"

namespace naru::reference {
namespace {

using contract::MatrixSource;
using contract::Rule;

// A row of a float kind, widened exactly.
void widen_row(DType dtype, const std::byte* row, int64_t n, float* out) {
  for (int64_t k = 0; k < n; ++k) {
    uint16_t half = 0;
    switch (dtype) {
      case DType::kF32: std::memcpy(out + k, row + 4 * k, 4); break;
      case DType::kF16:
        std::memcpy(&half, row + 2 * k, 2);
        out[k] = f16_to_f32(half);
        break;
      case DType::kBF16:
        std::memcpy(&half, row + 2 * k, 2);
        out[k] = bf16_to_f32(half);
        break;
      default: NARU_CHECK(false, "no float kind:", dtype_name(dtype));
    }
  }
}

void pack_row(const MatrixSource& source, Rule rule, const std::byte* row, int64_t index, Matrix& matrix) {
  if (source.inputs == 0) return;
  if (contract::is_block_rule(rule)) {
    const int64_t bytes = *dtype_bytes(source.dtype, source.inputs);
    std::memcpy(matrix.blocks.data() + index * bytes, row, static_cast<size_t>(bytes));
  } else if (rule == contract::Rule::kW8A8) {
    std::memcpy(matrix.integers.data() + index * source.inputs, row, static_cast<size_t>(source.inputs));
  } else {
    float* out = matrix.values.data() + index * source.inputs;
    widen_row(source.dtype, row, source.inputs, out);
    for (int64_t k = 0; k < source.inputs && rule == Rule::kBF16; ++k) out[k] = round_to_bf16(out[k]);
  }
}

}  // namespace

Result<std::unique_ptr<contract::PackedMatrix>> pack(const MatrixSource& source, Rule rule) {
  auto matrix = std::make_unique<Matrix>();
  matrix->rule = rule;
  matrix->stored = source.dtype;
  matrix->groups = source.groups;
  matrix->outputs = source.outputs;
  matrix->inputs = source.inputs;
  const int64_t n_rows = source.groups * source.outputs;
  if (contract::is_block_rule(rule)) {
    NARU_CHECK(source.dtype == contract::block_dtype(rule) && source.inputs % contract::rule_block(rule) == 0);
    matrix->blocks.resize(static_cast<size_t>(n_rows * *dtype_bytes(source.dtype, source.inputs)));
  } else if (rule == contract::Rule::kW8A8) {
    NARU_CHECK(source.dtype == DType::kI8 && source.scales != nullptr);
    if (source.inputs > 131072) {
      return Error{Code::kUnsupported,
                   fmt::format("packing a w8a8 matrix: it has {} inputs, at most 131072 keep the int32 sum exact; use "
                               "another kind",
                               source.inputs)};
    }
    matrix->integers.resize(static_cast<size_t>(n_rows * source.inputs));
    matrix->scales.assign(source.scales, source.scales + n_rows);
  } else {
    matrix->values.resize(static_cast<size_t>(n_rows * source.inputs));
  }
  std::vector<std::byte> scratch(static_cast<size_t>(source.inputs) * 4 + 64);
  for (int64_t group = 0; group < source.groups; ++group) {
    for (int64_t output = 0; output < source.outputs; ++output) {
      const std::byte* row = source.row(group, output, scratch.data());
      pack_row(source, rule, row, group * source.outputs + output, *matrix);
    }
  }
  matrix->bytes = static_cast<int64_t>(matrix->values.size() * 4 + matrix->integers.size() + matrix->scales.size() * 4 +
                                       matrix->blocks.size());
  return std::unique_ptr<contract::PackedMatrix>(std::move(matrix));
}

template <>
Status run(const contract::Embed& op) {
  const auto& table = static_cast<const Matrix&>(*op.table);
  const int64_t n = table.inputs;
  for (int64_t t = 0; t < op.ids.rows; ++t) {
    const int64_t id = *i32(op.ids, t);
    NARU_CHECK(id >= 0 && id < table.outputs, id, table.outputs);
    float* out = f32(op.out, t);
    if (contract::is_block_rule(table.rule)) {
      const DTypeInfo& info = dtype_info(table.stored);
      const std::byte* row = table.blocks.data() + id * *dtype_bytes(table.stored, n);
      for (int64_t k = 0; k < n; k += info.block_elements) {
        QuantBlock block;
        read_quant_block(table.stored, row + k / info.block_elements * info.block_bytes, block);
        for (int64_t e = 0; e < info.block_elements; ++e) {
          out[k + e] = contract::flush(quant_block_value(table.stored, block, e));
        }
      }
    } else if (table.rule == contract::Rule::kW8A8) {
      for (int64_t k = 0; k < n; ++k) {
        out[k] = contract::mul(contract::to_f32(table.integers[static_cast<size_t>(id * n + k)]),
                               table.scales[static_cast<size_t>(id)]);
      }
    } else {
      for (int64_t k = 0; k < n; ++k) out[k] = contract::flush(table.values[static_cast<size_t>(id * n + k)]);
    }
  }
  return {};
}

}  // namespace naru::reference
