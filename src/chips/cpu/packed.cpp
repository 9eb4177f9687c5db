#include "chips/cpu/packed.h"

#include <fmt/format.h>

namespace naru::cpu {

using contract::Rule;

CpuMatrix::~CpuMatrix() = default;

Layout layout_of(DType stored, Rule rule, bool bf16_dot) {
  if (contract::is_block_rule(rule)) return Layout::kBlocks;
  if (rule == Rule::kW8A8) return Layout::kBytes;
  if (rule == Rule::kBF16) return bf16_dot ? Layout::kDotPairs : Layout::kPairs;
  if (stored == DType::kF16) return Layout::kF16;
  return stored == DType::kBF16 ? Layout::kBF16 : Layout::kF32;
}

int64_t panel_bytes(Layout layout, Rule rule, int64_t inputs) {
  const int64_t blocks = ceil_div(inputs, 32);
  switch (layout) {
    case Layout::kF32: return inputs * kPanel * 4;
    case Layout::kF16:
    case Layout::kBF16: return round_up(inputs * kPanel * 2, 64);
    case Layout::kPairs:
    case Layout::kDotPairs: return blocks * 32 * kPanel * 2;
    case Layout::kBytes: return kPanel * 4 + ceil_div(inputs, 64) * 64 * kPanel;
    case Layout::kBlocks: {
      const BlockGeometry geometry = block_geometry(rule);
      const int64_t last = blocks % kChunkBlocks;
      return blocks / kChunkBlocks * geometry.chunk_bytes() +
             (last == 0 ? 0 : geometry.header_bytes(last) + last * geometry.block_bytes);
    }
  }
  return 0;
}

Result<std::unique_ptr<CpuMatrix>> make_matrix(const contract::MatrixSource& source, Rule rule, bool bf16_dot) {
  NARU_CHECK(source.groups >= 0 && source.outputs >= 0 && source.inputs >= 0, source.groups, source.outputs,
             source.inputs);
  if (contract::is_block_rule(rule)) {
    NARU_CHECK(source.dtype == contract::block_dtype(rule) && source.inputs % contract::rule_block(rule) == 0,
               contract::rule_name(rule), dtype_name(source.dtype), source.inputs);
  } else if (rule == Rule::kW8A8) {
    NARU_CHECK(source.dtype == DType::kI8 && source.scales != nullptr, dtype_name(source.dtype));
    if (source.inputs > kW8A8InputsMax) {
      return Error{Code::kUnsupported,
                   fmt::format("packing a w8a8 matrix: it has {} inputs, at most {} keep the int32 sum exact; use "
                               "another kind",
                               source.inputs, kW8A8InputsMax)};
    }
  } else {
    NARU_CHECK(source.dtype == DType::kF32 || source.dtype == DType::kF16 || source.dtype == DType::kBF16,
               dtype_name(source.dtype));
  }
  auto matrix = std::make_unique<CpuMatrix>();
  matrix->rule = rule;
  matrix->stored = source.dtype;
  matrix->groups = source.groups;
  matrix->outputs = source.outputs;
  matrix->inputs = source.inputs;
  matrix->layout = layout_of(source.dtype, rule, bf16_dot);
  matrix->panels = ceil_div(source.outputs, kPanel);
  matrix->panel_bytes = panel_bytes(matrix->layout, rule, source.inputs);
  const auto panels = checked_mul(source.groups, matrix->panels);
  const auto bytes = panels ? checked_mul(*panels, matrix->panel_bytes) : std::nullopt;
  if (!bytes) {
    return Error{
        Code::kResourceExhausted,
        fmt::format("packing a matrix of {} x {} x {}: its size overflows; the model does not fit this machine",
                    source.groups, source.outputs, source.inputs)};
  }
  matrix->bytes = *bytes;
  NARU_ASSIGN(matrix->memory, Memory::map(*bytes, "weights"));
  return matrix;
}

}  // namespace naru::cpu
