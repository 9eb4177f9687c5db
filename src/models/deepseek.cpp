// DeepSeek V2 / V2-Lite / V3 / R1: multi-head latent attention and experts.
#include <cmath>

#include "models/families.h"

namespace naru::models {
namespace {

constexpr TensorRow kDeepseekTensors[] = {
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
    matrix(Role::kQA, "model.layers.{l}.self_attn.q_a_proj.weight", "blk.{l}.attn_q_a.weight", Dim::kQueryRank,
           Dim::kHidden),
    norm(Role::kQANorm, "model.layers.{l}.self_attn.q_a_layernorm.weight", "blk.{l}.attn_q_a_norm.weight",
         Dim::kQueryRank),
    matrix(Role::kQB, "model.layers.{l}.self_attn.q_b_proj.weight", "blk.{l}.attn_q_b.weight", Dim::kQueries,
           Dim::kQueryRank),
    matrix(Role::kKvA, "model.layers.{l}.self_attn.kv_a_proj_with_mqa.weight", "blk.{l}.attn_kv_a_mqa.weight",
           Dim::kLatentRotary, Dim::kHidden),
    norm(Role::kKvANorm, "model.layers.{l}.self_attn.kv_a_layernorm.weight", "blk.{l}.attn_kv_a_norm.weight",
         Dim::kLatent),
    matrix(Role::kKvB, "model.layers.{l}.self_attn.kv_b_proj.weight", "blk.{l}.attn_kv_b.weight", Dim::kKeysValues,
           Dim::kLatent, Layout::kLatent),
    other(Role::kAbsorbK, "", "blk.{l}.attn_k_b.weight"),
    other(Role::kExpandV, "", "blk.{l}.attn_v_b.weight"),
    residual(Role::kO, "model.layers.{l}.self_attn.o_proj.weight", "blk.{l}.attn_output.weight", Dim::kHidden,
             Dim::kValues),
    matrix(Role::kGate, "model.layers.{l}.mlp.gate_proj.weight", "blk.{l}.ffn_gate.weight", Dim::kFfn, Dim::kHidden),
    matrix(Role::kUp, "model.layers.{l}.mlp.up_proj.weight", "blk.{l}.ffn_up.weight", Dim::kFfn, Dim::kHidden),
    residual(Role::kDown, "model.layers.{l}.mlp.down_proj.weight", "blk.{l}.ffn_down.weight", Dim::kHidden, Dim::kFfn),
    matrix_of(ParameterUse::kRouter, Role::kRouter, "model.layers.{l}.mlp.gate.weight", "blk.{l}.ffn_gate_inp.weight",
              Dim::kExperts, Dim::kHidden),
    vector_of(ParameterUse::kRoutingBias, Role::kRouterBias, "model.layers.{l}.mlp.gate.e_score_correction_bias",
              "blk.{l}.exp_probs_b.bias", Dim::kExperts),
    matrix(Role::kExpertGate, "model.layers.{l}.mlp.experts.{e}.gate_proj.weight", "blk.{l}.ffn_gate_exps.weight",
           Dim::kExpertFfn, Dim::kHidden, Layout::kExpert),
    matrix(Role::kExpertUp, "model.layers.{l}.mlp.experts.{e}.up_proj.weight", "blk.{l}.ffn_up_exps.weight",
           Dim::kExpertFfn, Dim::kHidden, Layout::kExpert),
    residual(Role::kExpertDown, "model.layers.{l}.mlp.experts.{e}.down_proj.weight", "blk.{l}.ffn_down_exps.weight",
             Dim::kHidden, Dim::kExpertFfn, Layout::kExpert),
    other(Role::kExpertsGateUp, "model.layers.{l}.mlp.experts.gate_up_proj", ""),
    other(Role::kExpertsDown, "model.layers.{l}.mlp.experts.down_proj", ""),
    matrix(Role::kSharedGate, "model.layers.{l}.mlp.shared_experts.gate_proj.weight", "blk.{l}.ffn_gate_shexp.weight",
           Dim::kSharedFfn, Dim::kHidden),
    matrix(Role::kSharedUp, "model.layers.{l}.mlp.shared_experts.up_proj.weight", "blk.{l}.ffn_up_shexp.weight",
           Dim::kSharedFfn, Dim::kHidden),
    residual(Role::kSharedDown, "model.layers.{l}.mlp.shared_experts.down_proj.weight", "blk.{l}.ffn_down_shexp.weight",
             Dim::kHidden, Dim::kSharedFfn),
    norm(Role::kPredictionEmbedNorm, "model.layers.{l}.enorm.weight", "blk.{l}.nextn.enorm.weight", Dim::kHidden),
    norm(Role::kPredictionHiddenNorm, "model.layers.{l}.hnorm.weight", "blk.{l}.nextn.hnorm.weight", Dim::kHidden),
    matrix(Role::kPredictionJoin, "model.layers.{l}.eh_proj.weight", "blk.{l}.nextn.eh_proj.weight", Dim::kHidden,
           Dim::kTwoHidden),
    norm(Role::kPredictionHeadNorm, "model.layers.{l}.shared_head.norm.weight", "blk.{l}.nextn.shared_head_norm.weight",
         Dim::kHidden),
    other(Role::kPredictionEmbed, "model.layers.{l}.embed_tokens.weight", "blk.{l}.nextn.embed_tokens.weight"),
    other(Role::kPredictionHead, "model.layers.{l}.shared_head.head.weight", "blk.{l}.nextn.shared_head_head.weight"),
};

contract::GroupScore group_score_of(const formats::MoeConfig& moe) {
  switch (moe.group_method) {
    case formats::GroupMethod::kGreedy: return contract::GroupScore::kNone;
    case formats::GroupMethod::kGroupLimited: return contract::GroupScore::kMax;
    case formats::GroupMethod::kNoAuxTc: return contract::GroupScore::kTopTwoSum;
  }
  return contract::GroupScore::kNone;
}

}  // namespace

std::span<const TensorRow> deepseek_tensors() {
  return kDeepseekTensors;
}

Result<nn::LatentAttention> build_latent_attention(const formats::ModelConfig& config, WeightLoader& loader,
                                                   int64_t layer, const BuildOptions& options) {
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
  const bool has_rank = config.mla.q_lora_rank > 0;
  if (has_rank) {
    NARU_ASSIGN(attention.q_a.weight, loader.matrix(Role::kQA, layer));
    NARU_ASSIGN(attention.q_a_norm, build_norm(loader, Role::kQANorm, layer, config.mla_norm_eps));
  }
  NARU_ASSIGN(attention.q_b.weight, loader.matrix(has_rank ? Role::kQB : Role::kQ, layer));
  NARU_ASSIGN(attention.kv_a.weight, loader.matrix(Role::kKvA, layer));
  NARU_ASSIGN(attention.kv_a_norm, build_norm(loader, Role::kKvANorm, layer, config.mla_norm_eps));
  auto& keys = attention.is_latent_form ? attention.absorb_k : attention.expand_k;
  NARU_ASSIGN(keys, loader.head_matrices(Role::kKvB, layer, 0, attention.nope_dim, attention.is_latent_form));
  NARU_ASSIGN(attention.expand_v, loader.head_matrices(Role::kKvB, layer, attention.nope_dim, attention.v_dim, false));
  NARU_ASSIGN(attention.o.weight, loader.matrix(Role::kO, layer));
  return attention;
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
  NARU_ASSIGN(experts.router.weight, loader.matrix(Role::kRouter, layer));
  if (moe.has_bias) {
    NARU_ASSIGN(experts.router_bias, loader.vector(Role::kRouterBias, layer));
  }
  NARU_ASSIGN(WeightLoader::Experts routed, loader.experts(layer));
  experts.gate = std::move(routed.gate);
  experts.up = std::move(routed.up);
  experts.down = std::move(routed.down);
  if (moe.shared_experts > 0) {
    NARU_ASSIGN(auto shared, build_feed_forward(loader, layer, Role::kSharedGate, Role::kSharedUp, Role::kSharedDown));
    experts.shared = std::make_unique<nn::FeedForward>(std::move(shared));
  }
  return experts;
}

}  // namespace naru::models
