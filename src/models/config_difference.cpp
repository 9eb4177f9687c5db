#include "models/config_difference.h"

#include <cmath>

#include "models/rope_frequencies.h"

namespace naru::models {
namespace {

using formats::ModelConfig;
using formats::MoeConfig;

bool same(double a, double b) {
  return static_cast<float>(a) == static_cast<float>(b);
}

bool near(double a, double b) {
  return std::fabs(a - b) <= 1e-6 * std::fabs(b);
}

bool same_rotation(const ModelConfig& a, const ModelConfig& b) {
  const int64_t dim = a.is_mla() ? a.mla.qk_rope_head_dim : a.head_dim;
  const std::vector<float> x = rope_frequencies(a.rope, dim, a.rope.divisors);
  const std::vector<float> y = rope_frequencies(b.rope, dim, b.rope.divisors);
  for (size_t i = 0; i < x.size(); ++i) {
    if (!near(x[i], y[i])) return false;
  }
  return true;
}

// With one group its limit is none.
formats::GroupMethod method_of(const MoeConfig& moe) {
  const bool is_free = moe.group_method == formats::GroupMethod::kGroupLimited && moe.n_group == 1;
  return is_free ? formats::GroupMethod::kGreedy : moe.group_method;
}

// Layers with experts, and what their routers do.
std::string moe_difference(const ModelConfig& a, const ModelConfig& b) {
  for (int64_t layer = 0; layer < a.layers; ++layer) {
    if (a.is_moe_layer(layer) != b.is_moe_layer(layer)) return "which layers have experts";
  }
  const MoeConfig &x = a.moe, &y = b.moe;
  if (!a.is_moe_layer(a.layers - 1)) return "";
  if (x.experts != y.experts || x.experts_per_token != y.experts_per_token) return "the number of experts";
  if (x.shared_experts * x.ffn != y.shared_experts * y.ffn || x.ffn != y.ffn) return "the width of the experts";
  if (x.scoring != y.scoring || method_of(x) != method_of(y)) return "how experts are chosen";
  if (x.n_group != y.n_group || x.topk_group != y.topk_group) return "the groups of experts";
  if (x.norm_topk != y.norm_topk || !same(x.routed_scaling, y.routed_scaling)) return "the weights of experts";
  if (x.has_bias != y.has_bias) return "the routers' selection bias";
  return "";
}

}  // namespace

std::string config_difference(const ModelConfig& a, const ModelConfig& b) {
  if (a.family != b.family) return "the family";
  if (a.vocab != b.vocab || a.hidden != b.hidden || a.layers != b.layers || a.ffn != b.ffn) return "the sizes";
  if (a.mtp_layers != b.mtp_layers) return "the number of prediction layers";
  if (a.heads != b.heads || a.kv_heads != b.kv_heads || a.head_dim != b.head_dim) return "the heads";
  if (!same(a.rms_eps, b.rms_eps) || !same(a.mla_norm_eps, b.mla_norm_eps)) return "the norms' epsilon";
  if (a.tie_embeddings != b.tie_embeddings) return "the head's tie to the embedding";
  if (a.qkv_bias != b.qkv_bias || a.o_bias != b.o_bias) return "the biases";
  if (a.qk_norm != b.qk_norm) return "the norms of q and k";
  if (a.max_positions != b.max_positions) return "the context length";
  if (a.mla.q_lora_rank != b.mla.q_lora_rank || a.mla.kv_lora_rank != b.mla.kv_lora_rank ||
      a.mla.qk_nope_head_dim != b.mla.qk_nope_head_dim || a.mla.qk_rope_head_dim != b.mla.qk_rope_head_dim ||
      a.mla.v_head_dim != b.mla.v_head_dim) {
    return "the latent attention's sizes";
  }
  if (a.rope.interleaved != b.rope.interleaved) return "the order of rotated channels";
  if (!same_rotation(a, b)) return "the rotation's frequencies";
  if (!near(formats::yarn_attention_factor(a.rope), formats::yarn_attention_factor(b.rope))) {
    return "the factor on cos and sin";
  }
  if (!near(formats::mla_scale_factor(a.rope), formats::mla_scale_factor(b.rope))) return "the attention's scale";
  return moe_difference(a, b);
}

}  // namespace naru::models
