#include "contract/kinds.h"

#include "base/check.h"

namespace naru::contract {

std::string_view rule_name(Rule rule) {
  switch (rule) {
    case Rule::kF32: return "f32";
    case Rule::kBF16: return "bf16";
    case Rule::kW8A8: return "w8a8";
    default: return dtype_name(block_dtype(rule));
  }
}

std::string_view compute_mode_name(ComputeMode mode) {
  switch (mode) {
    case ComputeMode::kF32: return "f32";
    case ComputeMode::kBF16: return "bf16";
    case ComputeMode::kAuto: return "auto";
  }
  return "auto";
}

std::optional<ComputeMode> compute_mode_from_name(std::string_view name) {
  for (const ComputeMode mode : {ComputeMode::kF32, ComputeMode::kBF16, ComputeMode::kAuto}) {
    if (compute_mode_name(mode) == name) return mode;
  }
  return std::nullopt;
}

Rule rule_of(DType stored, ComputeMode mode) {
  if (mode == ComputeMode::kF32) return Rule::kF32;
  if (mode == ComputeMode::kBF16) return Rule::kBF16;
  switch (stored) {
    case DType::kBF16:
    case DType::kF8E4M3: return Rule::kBF16;
    case DType::kI8: return Rule::kW8A8;
    case DType::kQ8_0: return Rule::kQ8_0;
    case DType::kQ4_0: return Rule::kQ4_0;
    case DType::kQ4_1: return Rule::kQ4_1;
    case DType::kQ5_0: return Rule::kQ5_0;
    case DType::kQ5_1: return Rule::kQ5_1;
    case DType::kQ4_K: return Rule::kQ4_K;
    case DType::kQ5_K: return Rule::kQ5_K;
    case DType::kQ6_K: return Rule::kQ6_K;
    default: return Rule::kF32;
  }
}

Rule transposed_rule_of(DType stored, ComputeMode mode) {
  const Rule rule = rule_of(stored, mode);
  return has_integer_activations(rule) ? Rule::kF32 : rule;
}

DType block_dtype(Rule rule) {
  NARU_CHECK(is_block_rule(rule), static_cast<int>(rule));
  constexpr DType kDTypes[] = {DType::kQ8_0, DType::kQ4_0, DType::kQ4_1, DType::kQ5_0,
                               DType::kQ5_1, DType::kQ4_K, DType::kQ5_K, DType::kQ6_K};
  return kDTypes[static_cast<int>(rule) - static_cast<int>(Rule::kQ8_0)];
}

int64_t rule_block(Rule rule) {
  return is_block_rule(rule) ? dtype_info(block_dtype(rule)).block_elements : 1;
}

}  // namespace naru::contract
