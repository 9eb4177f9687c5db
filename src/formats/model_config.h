// ModelConfig: what a model is, in numbers, for every family that naru knows. Filled from config.json (the dialect of
// rope_theta + rope_scaling and the newer one of rope_parameters) or from GGUF metadata, and checked: whoever gets one
// may multiply and divide its fields without fear, and every product of two of them fits an int64.
//
// A missing key has the default of the official classes (LlamaConfig, Qwen2Config, Qwen3Config, DeepseekV2Config,
// DeepseekV3Config); what those classes ignore is ignored, what would change the arithmetic and is not done here is
// refused by name. No key can name code, a path or an address: unknown keys do nothing, and are listed.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"

namespace naru::formats {

class GgufIndex;

inline constexpr int64_t kConfigBytesMax = 16ll << 20;  // bytes of config.json and generation_config.json

enum class Family { kLlama, kQwen2, kQwen3, kDeepseekV2, kDeepseekV3 };

std::vector<Family> families();  // all

// "llama", "qwen2", "qwen3", "deepseek_v2", "deepseek_v3": config.json's model_type.
std::string_view family_name(Family family);
// "LlamaForCausalLM": config.json's architectures.
std::string_view official_class(Family family);
// "llama": general.architecture. The two DeepSeek families share theirs.
std::string_view gguf_architecture(Family family);
// Whether the rows of q and k of each head lie in GGUF files so that the channels of a pair are neighbours.
bool gguf_interleaves(Family family);
inline bool is_deepseek(Family family) {
  return family == Family::kDeepseekV2 || family == Family::kDeepseekV3;
}

enum class RopeKind {
  kNone,      // frequencies as they are
  kLinear,    // every frequency divided by `factor`
  kLlama3,    // factor, low_freq_factor, high_freq_factor, original_positions
  kYarn,      // factor, original_positions, beta_fast, beta_slow, truncate; cos and sin times yarn_attention_factor()
  kDivisors,  // GGUF: frequency i divided by the i-th value of the tensor rope_freqs.weight, F32 [rotary dim / 2]
};

struct RopeConfig {
  double theta = 10000.0;  // base
  RopeKind kind = RopeKind::kNone;
  double factor = 1.0;  // >= 1 for kYarn and kLlama3, > 0 for kLinear
  double low_freq_factor = 1.0;
  double high_freq_factor = 4.0;
  int64_t original_positions = 0;
  double beta_fast = 32.0;
  double beta_slow = 1.0;
  double mscale = 0.0;                     // 0: not given
  double mscale_all_dim = 0.0;             // 0: not given
  bool truncate = true;                    // the YaRN range rounded outwards to whole dimensions
  std::optional<double> attention_factor;  // given by the file; wins over mscale
  // The values of kDivisors, where they were taken out of the file: [rotary dim / 2]; empty: they are in the file.
  std::vector<float> divisors;
  // The rotated channels of q and k lie as pairs (2i, 2i+1) in the file's rows; otherwise as (i, i + n/2).
  bool interleaved = false;
};

// What cos and sin are multiplied by: 1 unless kind is kYarn.
double yarn_attention_factor(const RopeConfig& rope);

// What 1/sqrt(head width) is multiplied by in latent attention: m^2 with m = 0.1 mscale_all_dim ln(factor) + 1 where
// a scaling with mscale_all_dim is set, else 1.
double mla_scale_factor(const RopeConfig& rope);

// Multi-head latent attention (MLA); all zero for other families.
struct MlaConfig {
  int64_t q_lora_rank = 0;  // 0: plain q_proj
  int64_t kv_lora_rank = 0;
  int64_t qk_nope_head_dim = 0;
  int64_t qk_rope_head_dim = 0;
  int64_t v_head_dim = 0;
};

enum class ScoringKind { kSoftmax, kSigmoid };

enum class GroupMethod {
  kGreedy,        // the best experts_per_token of all
  kGroupLimited,  // V2: the best topk_group groups by their largest score first
  kNoAuxTc,       // V3: groups by the sum of their two largest biased scores; the bias chooses, never weighs
};

// Mixture of experts; experts == 0: every layer is dense.
struct MoeConfig {
  int64_t experts = 0;
  int64_t experts_per_token = 0;
  int64_t shared_experts = 0;  // their common width is shared_experts * ffn
  int64_t ffn = 0;             // width of one expert
  int64_t first_dense = 0;     // layers [0, first_dense) are dense, in [0, layers]
  int64_t n_group = 1;         // divides experts
  int64_t topk_group = 1;
  ScoringKind scoring = ScoringKind::kSoftmax;
  GroupMethod group_method = GroupMethod::kGreedy;
  bool norm_topk = false;       // chosen weights divided by (their sum + 1e-20)
  double routed_scaling = 1.0;  // then times this, in both families
  bool has_bias = false;        // a selection bias tensor belongs to each router
};

enum class AttentionForm { kUnset, kLatent, kExpanded };

struct ModelConfig {
  Family family = Family::kLlama;
  bool from_gguf = false;
  std::string name;  // GGUF general.name; else empty

  int64_t vocab = 0;
  int64_t hidden = 0;
  int64_t layers = 0;
  int64_t heads = 0;
  int64_t kv_heads = 0;  // divides heads; == heads for latent attention
  int64_t head_dim = 0;  // width of one q and k head; nope + rope for latent attention
  int64_t ffn = 0;       // width of a dense layer's middle
  double rms_eps = 1e-6;
  double mla_norm_eps = 1e-6;  // of q_a_layernorm and kv_a_layernorm
  bool tie_embeddings = false;
  bool qkv_bias = false;
  bool o_bias = false;
  bool qk_norm = false;
  int64_t max_positions = 0;
  std::vector<int32_t> bos_ids;  // each in [0, vocab)
  std::vector<int32_t> eos_ids;
  std::optional<int32_t> pad_id;

  RopeConfig rope;
  MlaConfig mla;
  MoeConfig moe;
  // Prediction layers that may follow the last layer in the file (layers, layers + 1, ...). The official classes write
  // the number and not the tensors, so a file without them is fine.
  int64_t mtp_layers = 0;

  // FP8 weights with a companion X.weight_scale_inv of one f32 per block of this many rows and columns; 0: none.
  int64_t fp8_block_rows = 0;
  int64_t fp8_block_cols = 0;
  std::string dtype;  // what the file says its weights are: "bfloat16", ...; may be empty

  AttentionForm attention_form = AttentionForm::kUnset;  // our own key, naru_attention_form

  // Top-level keys that nothing here reads, by name, at most 64 of them. Shown to users, never acted upon.
  std::vector<std::string> unknown_keys;

  bool is_mla() const { return mla.kv_lora_rank > 0; }
  bool is_moe_layer(int64_t layer) const { return moe.experts > 0 && layer >= moe.first_dense; }
};

// Pure; `name` only appears in messages.
Result<ModelConfig> parse_model_config(Bytes config_json, std::string_view name);
Result<ModelConfig> model_config_from_gguf(const GgufIndex& gguf);

// folder/config.json
Result<ModelConfig> read_model_config(const std::filesystem::path& folder);

}  // namespace naru::formats
