#include "export/gguf_kinds.h"

#include <array>

namespace naru::exports {
namespace {

using models::Role;

struct KindRow {
  std::string_view name;
  uint32_t file_type;
  DType dtype;
  bool is_mixture;  // some tensors have more bits than most
};
constexpr KindRow kGgufKinds[] = {
    {"f32", 0, DType::kF32, false},     {"f16", 1, DType::kF16, false},    {"bf16", 32, DType::kBF16, false},
    {"q8_0", 7, DType::kQ8_0, false},   {"q4_0", 2, DType::kQ4_0, false},  {"q4_1", 3, DType::kQ4_1, false},
    {"q5_0", 8, DType::kQ5_0, false},   {"q5_1", 9, DType::kQ5_1, false},  {"q4_k_m", 15, DType::kQ4_K, true},
    {"q5_k_m", 17, DType::kQ5_K, true}, {"q6_k", 18, DType::kQ6_K, false},
};
constexpr size_t kGgufKindCount = std::size(kGgufKinds);
static_assert(kGgufKindCount == static_cast<size_t>(GgufKind::kQ6_K) + 1);

const KindRow& row_of_kind(GgufKind kind) {
  return kGgufKinds[static_cast<size_t>(kind)];
}

bool divides(DType dtype, int64_t cols) {
  return cols % dtype_info(dtype).block_elements == 0;
}

// The first and the last eighth of the layers, and every third between them.
bool is_sensitive_layer(int64_t layer, int64_t layers) {
  return layer < layers / 8 || layer >= 7 * layers / 8 || (layer - layers / 8) % 3 == 2;
}

// Where eight heads of queries share one of keys, v is small and worth more bits.
bool is_of_70b(const formats::ModelConfig& config) {
  return config.layers == 80 && (config.family == formats::Family::kQwen2 ||
                                 (config.family == formats::Family::kLlama && config.heads != config.kv_heads));
}

DType mixed_kind(DType most, const formats::ModelConfig& config, const models::Parameter& parameter) {
  const bool is_sensitive = is_sensitive_layer(parameter.layer, config.layers);
  switch (parameter.row->role) {
    case Role::kV:
      if (is_sensitive) return DType::kQ6_K;
      return most == DType::kQ4_K && is_of_70b(config) ? DType::kQ5_K : most;
    case Role::kDown:
    case Role::kExpertDown:
    case Role::kSharedDown: return is_sensitive ? DType::kQ6_K : most;
    case Role::kO: return most == DType::kQ4_K && config.moe.experts == 8 ? DType::kQ5_K : most;
    default: return most;
  }
}

DType wanted_kind(const KindRow& kind, const formats::ModelConfig& config, const models::Parameter& parameter,
                  int64_t cols) {
  if (parameter.shape.size() == 1 || parameter.use == models::ParameterUse::kRouter) return DType::kF32;
  if (!is_quantised(kind.dtype)) return kind.dtype;
  const bool is_head = parameter.use == models::ParameterUse::kHead ||
                       (parameter.use == models::ParameterUse::kEmbedding && config.tie_embeddings);
  if (is_head) return kind.dtype == DType::kQ8_0 || !divides(kind.dtype, cols) ? DType::kQ8_0 : DType::kQ6_K;
  return kind.is_mixture ? mixed_kind(kind.dtype, config, parameter) : kind.dtype;
}

// Of about as many bits, in blocks of 32.
DType of_small_blocks(DType dtype) {
  switch (dtype) {
    case DType::kQ4_K: return DType::kQ5_0;
    case DType::kQ5_K: return DType::kQ5_1;
    case DType::kQ6_K: return DType::kQ8_0;
    default: return dtype;
  }
}

}  // namespace

std::span<const std::string_view> gguf_kind_names() {
  static constexpr auto kNames = [] {
    std::array<std::string_view, kGgufKindCount> names;
    for (size_t i = 0; i < names.size(); ++i) names[i] = kGgufKinds[i].name;
    return names;
  }();
  return kNames;
}

std::string_view gguf_kind_name(GgufKind kind) {
  return row_of_kind(kind).name;
}

uint32_t gguf_file_type(GgufKind kind) {
  return row_of_kind(kind).file_type;
}

DType main_dtype(GgufKind kind) {
  return row_of_kind(kind).dtype;
}

TensorKind tensor_kind(GgufKind kind, const formats::ModelConfig& config, const models::Parameter& parameter,
                       int64_t cols) {
  TensorKind chosen;
  chosen.wanted = wanted_kind(row_of_kind(kind), config, parameter, cols);
  chosen.dtype = divides(chosen.wanted, cols) ? chosen.wanted : of_small_blocks(chosen.wanted);
  if (!divides(chosen.dtype, cols)) chosen.dtype = DType::kF16;
  return chosen;
}

}  // namespace naru::exports
