#include "formats/model_config_writer.h"
#include "formats/generation_config.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

namespace naru::formats {
namespace {

using OrderedJson = nlohmann::ordered_json;

Error no_word_for(const ModelConfig& config, std::string_view what) {
  return {Code::kUnsupported, fmt::format("writing config.json: the {} classes have no word for {}; keep the model as "
                                          "GGUF",
                                          family_name(config.family), what)};
}

// One id as a number, several as a list, none as null.
OrderedJson ids_json(const std::vector<int32_t>& ids) {
  if (ids.empty()) return nullptr;
  return ids.size() == 1 ? OrderedJson(ids[0]) : OrderedJson(ids);
}

OrderedJson yarn_json(const RopeConfig& rope) {
  OrderedJson json = {{"type", "yarn"},
                      {"rope_type", "yarn"},
                      {"factor", rope.factor},
                      {"original_max_position_embeddings", rope.original_positions},
                      {"beta_fast", rope.beta_fast},
                      {"beta_slow", rope.beta_slow}};
  // mscale equal to mscale_all_dim leaves cos and sin alone, and more readers know it than attention_factor.
  const bool is_neutral = rope.attention_factor == 1.0 && rope.mscale_all_dim != 0;
  if (is_neutral || rope.mscale != 0) json["mscale"] = is_neutral ? rope.mscale_all_dim : rope.mscale;
  if (rope.mscale_all_dim != 0) json["mscale_all_dim"] = rope.mscale_all_dim;
  if (rope.attention_factor && !is_neutral) json["attention_factor"] = *rope.attention_factor;
  if (!rope.truncate) json["truncate"] = false;
  return json;
}

Result<OrderedJson> rope_scaling_json(const ModelConfig& config) {
  const RopeConfig& rope = config.rope;
  OrderedJson json;
  switch (rope.kind) {
    case RopeKind::kNone: break;
    case RopeKind::kDivisors: return no_word_for(config, "rotation divisors (rope_freqs.weight) of no known rule");
    case RopeKind::kLinear:
      json = {{"type", "linear"}, {"rope_type", "linear"}, {"factor", rope.factor}};
      if (rope.mscale_all_dim != 0) json["mscale_all_dim"] = rope.mscale_all_dim;
      return json;
    case RopeKind::kLlama3:
      json = {{"type", "llama3"},
              {"rope_type", "llama3"},
              {"factor", rope.factor},
              {"low_freq_factor", rope.low_freq_factor},
              {"high_freq_factor", rope.high_freq_factor},
              {"original_max_position_embeddings", rope.original_positions}};
      if (rope.mscale_all_dim != 0) json["mscale_all_dim"] = rope.mscale_all_dim;
      return json;
    case RopeKind::kYarn: return yarn_json(rope);
  }
  return json;
}

void add_experts(const ModelConfig& config, OrderedJson& json) {
  const bool is_v3 = config.family == Family::kDeepseekV3;
  MoeConfig moe = config.moe;
  if (moe.experts == 0) {  // the classes know no model without experts, but one whose layers are all dense
    moe.experts = moe.experts_per_token = 1;
    moe.ffn = config.ffn;
    moe.first_dense = config.layers;
  }
  json["n_routed_experts"] = moe.experts;
  json["num_experts_per_tok"] = moe.experts_per_token;
  // The V2 class takes null for none, the V3 class 0.
  json["n_shared_experts"] = moe.shared_experts == 0 && !is_v3 ? OrderedJson(nullptr) : OrderedJson(moe.shared_experts);
  json["moe_intermediate_size"] = moe.ffn;
  json["first_k_dense_replace"] = moe.first_dense;
  json["moe_layer_freq"] = 1;
  json["n_group"] = moe.n_group;
  json["topk_group"] = moe.topk_group;
  json["topk_method"] = is_v3                                      ? "noaux_tc"
                        : moe.group_method == GroupMethod::kGreedy ? "greedy"
                                                                   : "group_limited_greedy";
  json["scoring_func"] = is_v3 ? "sigmoid" : "softmax";
  json["norm_topk_prob"] = moe.norm_topk;
  json["routed_scaling_factor"] = moe.routed_scaling;
}

void add_latent(const ModelConfig& config, OrderedJson& json) {
  const MlaConfig& mla = config.mla;
  json["q_lora_rank"] = mla.q_lora_rank == 0 ? OrderedJson(nullptr) : OrderedJson(mla.q_lora_rank);
  json["kv_lora_rank"] = mla.kv_lora_rank;
  json["qk_nope_head_dim"] = mla.qk_nope_head_dim;
  json["qk_rope_head_dim"] = mla.qk_rope_head_dim;
  json["v_head_dim"] = mla.v_head_dim;
  if (config.family == Family::kDeepseekV3) {
    json["rope_interleave"] = config.rope.interleaved;
    json["num_nextn_predict_layers"] = config.mtp_layers;
  }
  if (config.attention_form != AttentionForm::kUnset) {
    json["naru_attention_form"] = config.attention_form == AttentionForm::kLatent ? "latent" : "expanded";
  }
}

// What the classes fix and another container leaves open.
Status check_words(const ModelConfig& config) {
  const bool is_v3 = config.family == Family::kDeepseekV3;
  if (is_deepseek(config.family)) {
    if (config.moe.experts > 0 && config.moe.has_bias != is_v3) {
      return no_word_for(config, is_v3 ? "routers without a selection bias" : "routers with a selection bias");
    }
    if (config.moe.norm_topk && !is_v3) return no_word_for(config, "expert weights that are divided by their sum");
    return {};
  }
  if (config.family == Family::kQwen2) {
    if (!config.qkv_bias || config.o_bias) return no_word_for(config, "other biases than those of q, k and v");
  } else if (config.qkv_bias != config.o_bias) {
    return no_word_for(config, "biases on some of q, k, v and o alone");
  }
  return {};
}

}  // namespace

Result<std::string> model_config_json(const ModelConfig& config) {
  NARU_TRY(check_words(config));
  NARU_ASSIGN(OrderedJson scaling, rope_scaling_json(config));
  OrderedJson json;
  json["architectures"] = OrderedJson::array({official_class(config.family)});
  json["model_type"] = family_name(config.family);
  json["vocab_size"] = config.vocab;
  json["hidden_size"] = config.hidden;
  json["intermediate_size"] = config.ffn;
  json["num_hidden_layers"] = config.layers;
  json["num_attention_heads"] = config.heads;
  json["num_key_value_heads"] = config.kv_heads;
  if (is_deepseek(config.family)) {
    add_latent(config, json);
    add_experts(config, json);
  } else {
    json["head_dim"] = config.head_dim;
  }
  if (config.family != Family::kQwen2) json["attention_bias"] = config.qkv_bias;
  if (config.family == Family::kLlama) json["mlp_bias"] = false;
  json["hidden_act"] = "silu";
  json["rms_norm_eps"] = config.rms_eps;
  json["max_position_embeddings"] = config.max_positions;
  json["rope_theta"] = config.rope.theta;
  json["rope_scaling"] = std::move(scaling);
  json["tie_word_embeddings"] = config.tie_embeddings;
  json["bos_token_id"] = ids_json(config.bos_ids);
  json["eos_token_id"] = ids_json(config.eos_ids);
  json["pad_token_id"] = config.pad_id ? OrderedJson(*config.pad_id) : OrderedJson(nullptr);
  json["initializer_range"] = 0.02;
  json["use_cache"] = true;
  if (!config.dtype.empty()) json["torch_dtype"] = config.dtype;
  return json.dump(2) + "\n";
}

std::string generation_config_json(const ModelConfig& config, const GenerationConfig& advice) {
  OrderedJson json;
  if (advice.do_sample) json["do_sample"] = *advice.do_sample;
  if (advice.temperature) json["temperature"] = *advice.temperature;
  if (advice.top_k) json["top_k"] = *advice.top_k;
  if (advice.top_p) json["top_p"] = *advice.top_p;
  if (advice.min_p) json["min_p"] = *advice.min_p;
  if (advice.repetition_penalty) json["repetition_penalty"] = *advice.repetition_penalty;
  const auto add_ids = [&](std::string_view key, const std::vector<int32_t>& ids) {
    if (!ids.empty()) json[std::string(key)] = ids_json(ids);
  };
  add_ids("bos_token_id", advice.bos_ids.empty() ? config.bos_ids : advice.bos_ids);
  add_ids("eos_token_id", advice.eos_ids.empty() ? config.eos_ids : advice.eos_ids);
  const auto pad = advice.pad_id ? advice.pad_id : config.pad_id;
  if (pad) json["pad_token_id"] = *pad;
  if (json.is_null()) json = OrderedJson::object();
  return json.dump(2) + "\n";
}

}  // namespace naru::formats
