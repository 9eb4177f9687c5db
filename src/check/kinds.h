// Stored dtypes with the rules that their products take, by the words of a case's kind.
#pragma once

#include <string_view>

#include "base/check.h"
#include "contract/kinds.h"

namespace naru::check {

struct StoredKind {
  std::string_view name;
  DType stored;
  contract::Rule rule;
};
constexpr StoredKind kStoredKinds[] = {
    {"f32_as_f32", DType::kF32, contract::Rule::kF32},     {"f16_as_f32", DType::kF16, contract::Rule::kF32},
    {"bf16_as_f32", DType::kBF16, contract::Rule::kF32},   {"f32_as_bf16", DType::kF32, contract::Rule::kBF16},
    {"f16_as_bf16", DType::kF16, contract::Rule::kBF16},   {"bf16_as_bf16", DType::kBF16, contract::Rule::kBF16},
    {"i8_as_w8a8", DType::kI8, contract::Rule::kW8A8},     {"q8_0_as_q8_0", DType::kQ8_0, contract::Rule::kQ8_0},
    {"q4_0_as_q4_0", DType::kQ4_0, contract::Rule::kQ4_0}, {"q4_1_as_q4_1", DType::kQ4_1, contract::Rule::kQ4_1},
    {"q5_0_as_q5_0", DType::kQ5_0, contract::Rule::kQ5_0}, {"q5_1_as_q5_1", DType::kQ5_1, contract::Rule::kQ5_1},
    {"q4_k_as_q4_k", DType::kQ4_K, contract::Rule::kQ4_K}, {"q5_k_as_q5_k", DType::kQ5_K, contract::Rule::kQ5_K},
    {"q6_k_as_q6_k", DType::kQ6_K, contract::Rule::kQ6_K},
};

inline StoredKind stored_kind(std::string_view name) {
  for (const StoredKind& kind : kStoredKinds) {
    if (kind.name == name) return kind;
  }
  NARU_CHECK(false, "there is no stored kind", name);
  return {};
}

}  // namespace naru::check
