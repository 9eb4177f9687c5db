// The kinds of GGUF files that naru writes, and which kind of elements each of their tensors has. The rule is that of
// llama.cpp's quantiser without measured importance, so a file has the mixture and the size that its name promises
// everywhere.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "models/parameters.h"

namespace naru::exports {

enum class GgufKind : uint8_t { kF32, kF16, kBF16, kQ8_0, kQ4_0, kQ4_1, kQ5_0, kQ5_1, kQ4_K_M, kQ5_K_M, kQ6_K };

std::span<const std::string_view> gguf_kind_names();  // "q4_k_m", in the order of GgufKind
std::string_view gguf_kind_name(GgufKind kind);
uint32_t gguf_file_type(GgufKind kind);  // general.file_type
DType main_dtype(GgufKind kind);         // of most of its tensors

// The kind of a tensor of a file: what the rule wants, and what it is where the rows are no whole blocks of that.
struct TensorKind {
  DType wanted = DType::kF32;
  DType dtype = DType::kF32;
};
// `config` has the family and the counts of layers, heads and experts; `cols` is the length of the tensor's rows.
TensorKind tensor_kind(GgufKind kind, const formats::ModelConfig& config, const models::Parameter& parameter,
                       int64_t cols);

}  // namespace naru::exports
