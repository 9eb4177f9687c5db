// Dense families: Llama (SmolLM2, Llama 3), Qwen2, Qwen3. Grouped-query attention, SwiGLU. They differ in three flags
// of the config: biases on q, k, v (Qwen2), norms on the heads of q and k (Qwen3), and the rotation's scaling.
#include <cmath>

#include "models/families.h"

namespace naru::models {
namespace {

constexpr TensorRow kDenseTensors[] = {
    matrix_of(ParameterUse::kEmbedding, Role::kEmbed, "model.embed_tokens.weight", "token_embd.weight", Dim::kVocab,
              Dim::kHidden, Layout::kTable),
    matrix_of(ParameterUse::kHead, Role::kHead, "lm_head.weight", "output.weight", Dim::kVocab, Dim::kHidden),
    norm(Role::kFinalNorm, "model.norm.weight", "output_norm.weight", Dim::kHidden),
    vector_of(ParameterUse::kNone, Role::kRopeDivisors, "", "rope_freqs.weight", Dim::kHalfRotated),
    norm(Role::kAttentionNorm, "model.layers.{l}.input_layernorm.weight", "blk.{l}.attn_norm.weight", Dim::kHidden),
    norm(Role::kFeedForwardNorm, "model.layers.{l}.post_attention_layernorm.weight", "blk.{l}.ffn_norm.weight",
         Dim::kHidden),
    matrix(Role::kQ, "model.layers.{l}.self_attn.q_proj.weight", "blk.{l}.attn_q.weight", Dim::kQueries, Dim::kHidden,
           Layout::kRotated),
    matrix(Role::kK, "model.layers.{l}.self_attn.k_proj.weight", "blk.{l}.attn_k.weight", Dim::kKeys, Dim::kHidden,
           Layout::kRotated),
    matrix(Role::kV, "model.layers.{l}.self_attn.v_proj.weight", "blk.{l}.attn_v.weight", Dim::kKeys, Dim::kHidden),
    residual(Role::kO, "model.layers.{l}.self_attn.o_proj.weight", "blk.{l}.attn_output.weight", Dim::kHidden,
             Dim::kValues),
    bias(Role::kQBias, "model.layers.{l}.self_attn.q_proj.bias", "blk.{l}.attn_q.bias", Dim::kQueries,
         Layout::kRotated),
    bias(Role::kKBias, "model.layers.{l}.self_attn.k_proj.bias", "blk.{l}.attn_k.bias", Dim::kKeys, Layout::kRotated),
    bias(Role::kVBias, "model.layers.{l}.self_attn.v_proj.bias", "blk.{l}.attn_v.bias", Dim::kKeys),
    bias(Role::kOBias, "model.layers.{l}.self_attn.o_proj.bias", "blk.{l}.attn_output.bias", Dim::kHidden),
    norm(Role::kQNorm, "model.layers.{l}.self_attn.q_norm.weight", "blk.{l}.attn_q_norm.weight", Dim::kHeadDim),
    norm(Role::kKNorm, "model.layers.{l}.self_attn.k_norm.weight", "blk.{l}.attn_k_norm.weight", Dim::kHeadDim),
    matrix(Role::kGate, "model.layers.{l}.mlp.gate_proj.weight", "blk.{l}.ffn_gate.weight", Dim::kFfn, Dim::kHidden),
    matrix(Role::kUp, "model.layers.{l}.mlp.up_proj.weight", "blk.{l}.ffn_up.weight", Dim::kFfn, Dim::kHidden),
    residual(Role::kDown, "model.layers.{l}.mlp.down_proj.weight", "blk.{l}.ffn_down.weight", Dim::kHidden, Dim::kFfn),
};

}  // namespace

std::span<const TensorRow> dense_tensors() {
  return kDenseTensors;
}

Result<nn::GroupedQueryAttention> build_grouped_attention(const formats::ModelConfig& config, WeightLoader& loader,
                                                          int64_t layer) {
  nn::GroupedQueryAttention attention;
  attention.heads = config.heads;
  attention.kv_heads = config.kv_heads;
  attention.head_dim = config.head_dim;
  attention.scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(config.head_dim)));
  const auto linear = [&](nn::Linear& out, Role weight, Role bias, bool has_bias) -> Status {
    NARU_ASSIGN(out.weight, loader.matrix(weight, layer));
    if (has_bias) {
      NARU_ASSIGN(out.bias, loader.vector(bias, layer));
    }
    return {};
  };
  NARU_TRY(linear(attention.q, Role::kQ, Role::kQBias, config.qkv_bias));
  NARU_TRY(linear(attention.k, Role::kK, Role::kKBias, config.qkv_bias));
  NARU_TRY(linear(attention.v, Role::kV, Role::kVBias, config.qkv_bias));
  if (config.qk_norm) {
    NARU_ASSIGN(attention.q_norm, build_norm(loader, Role::kQNorm, layer, config.rms_eps));
    NARU_ASSIGN(attention.k_norm, build_norm(loader, Role::kKNorm, layer, config.rms_eps));
  }
  NARU_TRY(linear(attention.o, Role::kO, Role::kOBias, config.o_bias));
  return attention;
}

}  // namespace naru::models
