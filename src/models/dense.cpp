// Dense families: Llama (SmolLM2, Llama 3), Qwen2, Qwen3. Grouped-query attention, SwiGLU. They differ in three flags
// of the config: biases on q, k, v (Qwen2), norms on the heads of q and k (Qwen3), and the rotation's scaling.
#include <cmath>

#include "models/families.h"

namespace naru::models {
namespace {

constexpr NameRow kDenseNames[] = {
    {Role::kEmbed, "model.embed_tokens.weight", "token_embd.weight"},
    {Role::kHead, "lm_head.weight", "output.weight"},
    {Role::kFinalNorm, "model.norm.weight", "output_norm.weight"},
    {Role::kRopeDivisors, "", "rope_freqs.weight"},
    {Role::kAttentionNorm, "model.layers.{l}.input_layernorm.weight", "blk.{l}.attn_norm.weight"},
    {Role::kFeedForwardNorm, "model.layers.{l}.post_attention_layernorm.weight", "blk.{l}.ffn_norm.weight"},
    {Role::kQ, "model.layers.{l}.self_attn.q_proj.weight", "blk.{l}.attn_q.weight"},
    {Role::kK, "model.layers.{l}.self_attn.k_proj.weight", "blk.{l}.attn_k.weight"},
    {Role::kV, "model.layers.{l}.self_attn.v_proj.weight", "blk.{l}.attn_v.weight"},
    {Role::kO, "model.layers.{l}.self_attn.o_proj.weight", "blk.{l}.attn_output.weight"},
    {Role::kQBias, "model.layers.{l}.self_attn.q_proj.bias", "blk.{l}.attn_q.bias"},
    {Role::kKBias, "model.layers.{l}.self_attn.k_proj.bias", "blk.{l}.attn_k.bias"},
    {Role::kVBias, "model.layers.{l}.self_attn.v_proj.bias", "blk.{l}.attn_v.bias"},
    {Role::kOBias, "model.layers.{l}.self_attn.o_proj.bias", "blk.{l}.attn_output.bias"},
    {Role::kQNorm, "model.layers.{l}.self_attn.q_norm.weight", "blk.{l}.attn_q_norm.weight"},
    {Role::kKNorm, "model.layers.{l}.self_attn.k_norm.weight", "blk.{l}.attn_k_norm.weight"},
    {Role::kGate, "model.layers.{l}.mlp.gate_proj.weight", "blk.{l}.ffn_gate.weight"},
    {Role::kUp, "model.layers.{l}.mlp.up_proj.weight", "blk.{l}.ffn_up.weight"},
    {Role::kDown, "model.layers.{l}.mlp.down_proj.weight", "blk.{l}.ffn_down.weight"},
};

}  // namespace

std::span<const NameRow> dense_names() {
  return kDenseNames;
}

Status build_dense_layer(const formats::ModelConfig& config, WeightLoader& loader, int64_t layer, DecoderLayer& out) {
  nn::GroupedQueryAttention attention;
  attention.heads = config.heads;
  attention.kv_heads = config.kv_heads;
  attention.head_dim = config.head_dim;
  attention.scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(config.head_dim)));
  const int64_t q_rows = config.heads * config.head_dim, kv_rows = config.kv_heads * config.head_dim;
  WeightLoader::RowOrder order;  // rows are put back, so that the same weights give the same bits from any container
  if (config.rope.interleaved) order = [n = config.head_dim](int64_t row) { return interleaved_row(row, n); };
  const auto use = WeightLoader::Use::kProduct;
  NARU_ASSIGN(attention.q.weight, loader.matrix({.role = Role::kQ, .layer = layer}, q_rows, config.hidden, use, order));
  NARU_ASSIGN(attention.k.weight,
              loader.matrix({.role = Role::kK, .layer = layer}, kv_rows, config.hidden, use, order));
  NARU_ASSIGN(attention.v.weight, loader.matrix({.role = Role::kV, .layer = layer}, kv_rows, config.hidden));
  NARU_ASSIGN(attention.o.weight, loader.matrix({.role = Role::kO, .layer = layer}, config.hidden, q_rows));
  if (config.qkv_bias) {
    NARU_ASSIGN(attention.q.bias, loader.vector({.role = Role::kQBias, .layer = layer}, q_rows, false, order));
    NARU_ASSIGN(attention.k.bias, loader.vector({.role = Role::kKBias, .layer = layer}, kv_rows, false, order));
    NARU_ASSIGN(attention.v.bias, loader.vector({.role = Role::kVBias, .layer = layer}, kv_rows));
  }
  if (config.o_bias) {
    NARU_ASSIGN(attention.o.bias, loader.vector({.role = Role::kOBias, .layer = layer}, config.hidden));
  }
  if (config.qk_norm) {
    NARU_ASSIGN(attention.q_norm,
                build_norm(loader, {.role = Role::kQNorm, .layer = layer}, config.head_dim, config.rms_eps));
    NARU_ASSIGN(attention.k_norm,
                build_norm(loader, {.role = Role::kKNorm, .layer = layer}, config.head_dim, config.rms_eps));
  }
  out.attention = std::move(attention);
  NARU_ASSIGN(out.feed_forward,
              build_feed_forward(loader, layer, config.hidden, config.ffn, Role::kGate, Role::kUp, Role::kDown));
  return {};
}

}  // namespace naru::models
