// DeepSeek V2 / V2-Lite / V3 / R1: multi-head latent attention and experts. Checkpoints hold kv_b whole (Hugging Face,
// legacy GGUF) or as attn_k_b and attn_v_b; experts one by one, stacked, or stacked with gate and up fused.
#include <cmath>

#include "models/families.h"

namespace naru::models {
namespace {

constexpr NameRow kDeepseekNames[] = {
    {Role::kEmbed, "model.embed_tokens.weight", "token_embd.weight"},
    {Role::kHead, "lm_head.weight", "output.weight"},
    {Role::kFinalNorm, "model.norm.weight", "output_norm.weight"},
    {Role::kRopeDivisors, "", "rope_freqs.weight"},
    {Role::kAttentionNorm, "model.layers.{l}.input_layernorm.weight", "blk.{l}.attn_norm.weight"},
    {Role::kFeedForwardNorm, "model.layers.{l}.post_attention_layernorm.weight", "blk.{l}.ffn_norm.weight"},
    {Role::kQ, "model.layers.{l}.self_attn.q_proj.weight", "blk.{l}.attn_q.weight"},
    {Role::kQA, "model.layers.{l}.self_attn.q_a_proj.weight", "blk.{l}.attn_q_a.weight"},
    {Role::kQANorm, "model.layers.{l}.self_attn.q_a_layernorm.weight", "blk.{l}.attn_q_a_norm.weight"},
    {Role::kQB, "model.layers.{l}.self_attn.q_b_proj.weight", "blk.{l}.attn_q_b.weight"},
    {Role::kKvA, "model.layers.{l}.self_attn.kv_a_proj_with_mqa.weight", "blk.{l}.attn_kv_a_mqa.weight"},
    {Role::kKvANorm, "model.layers.{l}.self_attn.kv_a_layernorm.weight", "blk.{l}.attn_kv_a_norm.weight"},
    {Role::kKvB, "model.layers.{l}.self_attn.kv_b_proj.weight", "blk.{l}.attn_kv_b.weight"},
    {Role::kAbsorbK, "", "blk.{l}.attn_k_b.weight"},
    {Role::kExpandV, "", "blk.{l}.attn_v_b.weight"},
    {Role::kO, "model.layers.{l}.self_attn.o_proj.weight", "blk.{l}.attn_output.weight"},
    {Role::kGate, "model.layers.{l}.mlp.gate_proj.weight", "blk.{l}.ffn_gate.weight"},
    {Role::kUp, "model.layers.{l}.mlp.up_proj.weight", "blk.{l}.ffn_up.weight"},
    {Role::kDown, "model.layers.{l}.mlp.down_proj.weight", "blk.{l}.ffn_down.weight"},
    {Role::kRouter, "model.layers.{l}.mlp.gate.weight", "blk.{l}.ffn_gate_inp.weight"},
    {Role::kRouterBias, "model.layers.{l}.mlp.gate.e_score_correction_bias", "blk.{l}.exp_probs_b.bias"},
    {Role::kExpertGate, "model.layers.{l}.mlp.experts.{e}.gate_proj.weight", ""},
    {Role::kExpertUp, "model.layers.{l}.mlp.experts.{e}.up_proj.weight", ""},
    {Role::kExpertDown, "model.layers.{l}.mlp.experts.{e}.down_proj.weight", ""},
    {Role::kExpertsGateUp, "model.layers.{l}.mlp.experts.gate_up_proj", ""},
    {Role::kExpertsGate, "", "blk.{l}.ffn_gate_exps.weight"},
    {Role::kExpertsUp, "", "blk.{l}.ffn_up_exps.weight"},
    {Role::kExpertsDown, "model.layers.{l}.mlp.experts.down_proj", "blk.{l}.ffn_down_exps.weight"},
    {Role::kSharedGate, "model.layers.{l}.mlp.shared_experts.gate_proj.weight", "blk.{l}.ffn_gate_shexp.weight"},
    {Role::kSharedUp, "model.layers.{l}.mlp.shared_experts.up_proj.weight", "blk.{l}.ffn_up_shexp.weight"},
    {Role::kSharedDown, "model.layers.{l}.mlp.shared_experts.down_proj.weight", "blk.{l}.ffn_down_shexp.weight"},
    {Role::kPredictionEmbedNorm, "model.layers.{l}.enorm.weight", "blk.{l}.nextn.enorm.weight"},
    {Role::kPredictionHiddenNorm, "model.layers.{l}.hnorm.weight", "blk.{l}.nextn.hnorm.weight"},
    {Role::kPredictionJoin, "model.layers.{l}.eh_proj.weight", "blk.{l}.nextn.eh_proj.weight"},
    {Role::kPredictionHeadNorm, "model.layers.{l}.shared_head.norm.weight", "blk.{l}.nextn.shared_head_norm.weight"},
    {Role::kPredictionEmbed, "model.layers.{l}.embed_tokens.weight", "blk.{l}.nextn.embed_tokens.weight"},
    {Role::kPredictionHead, "model.layers.{l}.shared_head.head.weight", "blk.{l}.nextn.shared_head_head.weight"},
};

using Parts = WeightLoader::Parts;

// The per-head matrices between latent and heads, from whichever layout the file has.
Status build_latent_matrices(const formats::ModelConfig& config, WeightLoader& loader, int64_t layer,
                             nn::LatentAttention& attention) {
  const int64_t heads = config.heads, nope = config.mla.qk_nope_head_dim, v = config.mla.v_head_dim;
  const int64_t latent = config.mla.kv_lora_rank;
  const WeightLoader::Place whole{.role = Role::kKvB, .layer = layer};
  if (loader.has(whole)) {
    const Parts keys{.groups = heads, .part_rows = nope + v, .row_begin = 0, .outputs = nope, .inputs = latent};
    const Parts values{.groups = heads, .part_rows = nope + v, .row_begin = nope, .outputs = v, .inputs = latent};
    if (attention.is_latent_form) {
      NARU_ASSIGN(attention.absorb_k, loader.transposed_matrix(whole, keys));
    } else {
      NARU_ASSIGN(attention.expand_k, loader.grouped_matrix(whole, keys));
    }
    NARU_ASSIGN(attention.expand_v, loader.grouped_matrix(whole, values));
    return {};
  }
  const WeightLoader::Place k{.role = config.from_gguf ? Role::kAbsorbK : Role::kKvB, .layer = layer};
  const Parts absorb{.groups = heads, .part_rows = latent, .row_begin = 0, .outputs = latent, .inputs = nope};
  if (attention.is_latent_form) {
    NARU_ASSIGN(attention.absorb_k, loader.grouped_matrix(k, absorb));
  } else {
    NARU_ASSIGN(attention.expand_k, loader.transposed_matrix(k, absorb));
  }
  const Parts values{.groups = heads, .part_rows = v, .row_begin = 0, .outputs = v, .inputs = latent};
  NARU_ASSIGN(attention.expand_v, loader.grouped_matrix({.role = Role::kExpandV, .layer = layer}, values));
  return {};
}

Result<nn::LatentAttention> build_attention(const formats::ModelConfig& config, WeightLoader& loader, int64_t layer,
                                            const BuildOptions& options) {
  nn::LatentAttention attention;
  attention.heads = config.heads;
  attention.nope_dim = config.mla.qk_nope_head_dim;
  attention.rope_dim = config.mla.qk_rope_head_dim;
  attention.v_dim = config.mla.v_head_dim;
  attention.latent_dim = config.mla.kv_lora_rank;
  attention.is_latent_form = options.is_latent_form;
  if (!config.rope.interleaved) attention.rope_layout = contract::RopeLayout::kHalfSplit;
  const int64_t head_dim = attention.nope_dim + attention.rope_dim;
  attention.scale =
      static_cast<float>(formats::mla_scale_factor(config.rope) / std::sqrt(static_cast<double>(head_dim)));
  const int64_t q_rows = config.heads * head_dim, rank = config.mla.q_lora_rank;
  if (rank > 0) {
    NARU_ASSIGN(attention.q_a.weight, loader.matrix({.role = Role::kQA, .layer = layer}, rank, config.hidden));
    NARU_ASSIGN(attention.q_a_norm,
                build_norm(loader, {.role = Role::kQANorm, .layer = layer}, rank, config.mla_norm_eps));
    NARU_ASSIGN(attention.q_b.weight, loader.matrix({.role = Role::kQB, .layer = layer}, q_rows, rank));
  } else {
    NARU_ASSIGN(attention.q_b.weight, loader.matrix({.role = Role::kQ, .layer = layer}, q_rows, config.hidden));
  }
  NARU_ASSIGN(attention.kv_a.weight, loader.matrix({.role = Role::kKvA, .layer = layer},
                                                   attention.latent_dim + attention.rope_dim, config.hidden));
  NARU_ASSIGN(attention.kv_a_norm,
              build_norm(loader, {.role = Role::kKvANorm, .layer = layer}, attention.latent_dim, config.mla_norm_eps));
  NARU_TRY(build_latent_matrices(config, loader, layer, attention));
  NARU_ASSIGN(attention.o.weight,
              loader.matrix({.role = Role::kO, .layer = layer}, config.hidden, config.heads * attention.v_dim));
  return attention;
}

Status build_expert_matrices(const formats::ModelConfig& config, WeightLoader& loader, int64_t layer,
                             nn::Experts& experts) {
  const int64_t n = config.moe.experts, ffn = config.moe.ffn, width = config.hidden;
  const WeightLoader::Place fused{.role = Role::kExpertsGateUp, .layer = layer};
  const WeightLoader::Place stacked_down{.role = Role::kExpertsDown, .layer = layer};
  if (loader.has(fused)) {
    const Parts gate{.groups = n, .part_rows = 2 * ffn, .row_begin = 0, .outputs = ffn, .inputs = width};
    const Parts up{.groups = n, .part_rows = 2 * ffn, .row_begin = ffn, .outputs = ffn, .inputs = width};
    const Parts down{.groups = n, .part_rows = width, .row_begin = 0, .outputs = width, .inputs = ffn};
    NARU_ASSIGN(experts.gate, loader.grouped_matrix(fused, gate));
    NARU_ASSIGN(experts.up, loader.grouped_matrix(fused, up));
    NARU_ASSIGN(experts.down, loader.grouped_matrix(stacked_down, down));
  } else if (config.from_gguf) {
    const Parts in{.groups = n, .part_rows = ffn, .row_begin = 0, .outputs = ffn, .inputs = width};
    const Parts down{.groups = n, .part_rows = width, .row_begin = 0, .outputs = width, .inputs = ffn};
    NARU_ASSIGN(experts.gate, loader.grouped_matrix({.role = Role::kExpertsGate, .layer = layer}, in));
    NARU_ASSIGN(experts.up, loader.grouped_matrix({.role = Role::kExpertsUp, .layer = layer}, in));
    NARU_ASSIGN(experts.down, loader.grouped_matrix(stacked_down, down));
  } else {
    NARU_ASSIGN(experts.gate, loader.expert_matrices(Role::kExpertGate, layer, n, ffn, width));
    NARU_ASSIGN(experts.up, loader.expert_matrices(Role::kExpertUp, layer, n, ffn, width));
    NARU_ASSIGN(experts.down, loader.expert_matrices(Role::kExpertDown, layer, n, width, ffn));
  }
  return {};
}

contract::GroupScore group_score_of(const formats::MoeConfig& moe) {
  switch (moe.group_method) {
    case formats::GroupMethod::kGreedy: return contract::GroupScore::kNone;
    case formats::GroupMethod::kGroupLimited: return contract::GroupScore::kMax;
    case formats::GroupMethod::kNoAuxTc: return contract::GroupScore::kTopTwoSum;
  }
  return contract::GroupScore::kNone;
}

Result<nn::Experts> build_experts(const formats::ModelConfig& config, WeightLoader& loader, int64_t layer) {
  const formats::MoeConfig& moe = config.moe;
  nn::Experts experts;
  experts.n_chosen = moe.experts_per_token;
  experts.scoring =
      moe.scoring == formats::ScoringKind::kSigmoid ? contract::Scoring::kSigmoid : contract::Scoring::kSoftmax;
  experts.group_score = group_score_of(moe);
  experts.n_group = moe.n_group;
  experts.topk_group = moe.topk_group;
  experts.normalise = moe.norm_topk;
  experts.routed_scale = static_cast<float>(moe.routed_scaling);
  NARU_ASSIGN(experts.router.weight, loader.matrix({.role = Role::kRouter, .layer = layer}, moe.experts, config.hidden,
                                                   WeightLoader::Use::kRouter));
  if (moe.has_bias) {
    NARU_ASSIGN(experts.router_bias, loader.vector({.role = Role::kRouterBias, .layer = layer}, moe.experts, true));
  }
  NARU_TRY(build_expert_matrices(config, loader, layer, experts));
  if (moe.shared_experts > 0) {
    NARU_ASSIGN(auto shared, build_feed_forward(loader, layer, config.hidden, moe.shared_experts * moe.ffn,
                                                Role::kSharedGate, Role::kSharedUp, Role::kSharedDown));
    experts.shared = std::make_unique<nn::FeedForward>(std::move(shared));
  }
  return experts;
}

}  // namespace

std::span<const NameRow> deepseek_names() {
  return kDeepseekNames;
}

Status build_deepseek_layer(const formats::ModelConfig& config, WeightLoader& loader, int64_t layer,
                            const BuildOptions& options, DecoderLayer& out) {
  NARU_ASSIGN(out.attention, build_attention(config, loader, layer, options));
  if (config.is_moe_layer(layer)) {
    NARU_ASSIGN(out.feed_forward, build_experts(config, loader, layer));
  } else {
    NARU_ASSIGN(out.feed_forward,
                build_feed_forward(loader, layer, config.hidden, config.ffn, Role::kGate, Role::kUp, Role::kDown));
  }
  return {};
}

}  // namespace naru::models
