// Rule: the order of arithmetic of one dot product (docs/arithmetic.md section 3), and which rule a stored weight
// takes under a compute mode (section 2).
#pragma once

#include <optional>
#include <string_view>

#include "tensor/dtype.h"

namespace naru::contract {

// Of docs/arithmetic.md: it opens every numerics id, and changes with any rule that decides bits.
inline constexpr std::string_view kArithmeticVersion = "naru2";

enum class ComputeMode { kF32, kBF16, kAuto };

enum class Rule { kF32, kBF16, kW8A8, kQ8_0, kQ4_0, kQ4_1, kQ5_0, kQ5_1, kQ4_K, kQ5_K, kQ6_K };

std::string_view rule_name(Rule rule);
std::string_view compute_mode_name(ComputeMode mode);
std::optional<ComputeMode> compute_mode_from_name(std::string_view name);

// The rule of a product with a weight stored as `stored` under `mode`.
Rule rule_of(DType stored, ComputeMode mode);
// The rule where a weight is used transposed (absorbed latent attention, gradients): that of the compute mode, f32
// under auto for quantised kinds.
Rule transposed_rule_of(DType stored, ComputeMode mode);

// True for the rules whose activations are int8 with scales (w8a8 and the GGUF kinds).
inline bool has_integer_activations(Rule rule) {
  return rule >= Rule::kW8A8;
}
inline bool is_block_rule(Rule rule) {
  return rule >= Rule::kQ8_0;
}
// The stored kind of a block rule.
DType block_dtype(Rule rule);
// K must be a multiple of this.
int64_t rule_block(Rule rule);

}  // namespace naru::contract
