// config.json to ModelConfig: defaults of the official classes, both dialects of the rotary settings, and a refusal by
// name for what would change the arithmetic.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>

#include "formats/json.h"
#include "formats/model_config.h"
#include "formats/model_config_check.h"
#include "formats/utf8.h"

namespace naru::formats {
namespace {

// What the official class of a family assumes where config.json is silent.
struct Defaults {
  Family family;
  int64_t vocab, hidden, ffn, layers, heads, kv_heads, max_positions;  // kv_heads 0: as many as heads
  int32_t bos, eos;                                                    // -1: none
};
constexpr Defaults kDefaults[] = {
    {Family::kLlama, 32000, 4096, 11008, 32, 32, 0, 2048, 1, 2},
    {Family::kQwen2, 151936, 4096, 22016, 32, 32, 32, 32768, -1, -1},
    {Family::kQwen3, 151936, 4096, 22016, 32, 32, 32, 32768, -1, -1},
    {Family::kDeepseekV2, 102400, 4096, 11008, 32, 32, 0, 2048, 1, 2},
    {Family::kDeepseekV3, 129280, 7168, 18432, 61, 128, 128, 4096, 0, 1},
};

// Top-level keys that are read here, or that say nothing about the arithmetic.
constexpr std::string_view kKnownKeys[] = {
    "model_type",
    "architectures",
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "hidden_act",
    "max_position_embeddings",
    "rms_norm_eps",
    "tie_word_embeddings",
    "attention_bias",
    "mlp_bias",
    "bos_token_id",
    "eos_token_id",
    "pad_token_id",
    "rope_theta",
    "rope_scaling",
    "rope_parameters",
    "original_max_position_embeddings",
    "partial_rotary_factor",
    "torch_dtype",
    "dtype",
    "use_sliding_window",
    "sliding_window",
    "max_window_layers",
    "layer_types",
    "q_lora_rank",
    "kv_lora_rank",
    "qk_nope_head_dim",
    "qk_rope_head_dim",
    "qk_head_dim",
    "v_head_dim",
    "n_routed_experts",
    "num_experts_per_tok",
    "n_shared_experts",
    "moe_intermediate_size",
    "first_k_dense_replace",
    "moe_layer_freq",
    "n_group",
    "topk_group",
    "topk_method",
    "scoring_func",
    "norm_topk_prob",
    "routed_scaling_factor",
    "num_nextn_predict_layers",
    "num_mtp_layers",
    "rope_interleave",
    "quantization_config",
    "naru_attention_form",
    "per_layer_config",
    "initializer_range",
    "use_cache",
    "attention_dropout",
    "pretraining_tp",
    "transformers_version",
    "output_router_logits",
    "aux_loss_alpha",
    "seq_aux",
    "ep_size",
    "_name_or_path",
    "num_local_experts",
    "num_experts",
};

// A field of the file as it is: absent, null, or a value. Some classes tell the first two apart.
bool is_null(const JsonObject& object, std::string_view key) {
  const auto place = object.value().find(key);
  return place != object.value().end() && place->is_null();
}

Error refuse(const JsonObject& object, std::string_view key, std::string_view found, std::string_view wanted,
             std::string_view next = kOtherModel) {
  return object.wrong(Code::kUnsupported, key, found, wanted, next);
}

Result<const Defaults*> read_family(const JsonObject& root) {
  NARU_ASSIGN(const std::string type, root.get_string("model_type"));
  for (const Defaults& defaults : kDefaults) {
    if (family_name(defaults.family) == type) return &defaults;
  }
  return refuse(root, "model_type", json_brief(nlohmann::json(type)), "one of " + supported_families(),
                "use a model of one of these kinds");
}

Status read_sizes(const JsonObject& root, const Defaults& defaults, ModelConfig* config) {
  NARU_ASSIGN(config->vocab, root.get_int_or("vocab_size", 1, kVocabMax, defaults.vocab));
  NARU_ASSIGN(config->hidden, root.get_int_or("hidden_size", 1, kWidthMax, defaults.hidden));
  NARU_ASSIGN(config->ffn, root.get_int_or("intermediate_size", 1, kFfnMax, defaults.ffn));
  NARU_ASSIGN(config->layers, root.get_int_or("num_hidden_layers", 1, kLayersMax, defaults.layers));
  NARU_ASSIGN(config->heads, root.get_int_or("num_attention_heads", 1, kHeadsMax, defaults.heads));
  const bool as_heads = defaults.kv_heads == 0 || is_null(root, "num_key_value_heads");
  NARU_ASSIGN(config->kv_heads,
              root.get_int_or("num_key_value_heads", 1, kHeadsMax, as_heads ? config->heads : defaults.kv_heads));
  NARU_ASSIGN(config->max_positions,
              root.get_int_or("max_position_embeddings", 1, kPositionsMax, defaults.max_positions));
  NARU_ASSIGN(config->rms_eps, root.get_double_or("rms_norm_eps", 1e-6));
  NARU_ASSIGN(config->tie_embeddings, root.get_bool_or("tie_word_embeddings", false));
  if (is_deepseek(config->family)) return {};
  NARU_ASSIGN(const auto head_dim, root.find_int("head_dim", 1, kWidthMax));
  if (head_dim) {
    config->head_dim = *head_dim;
  } else if (config->family == Family::kQwen3) {
    config->head_dim = 128;
  } else if (config->hidden % config->heads != 0) {
    return root.wrong(Code::kCorrupt, "num_attention_heads", std::to_string(config->heads),
                      fmt::format("a divisor of hidden_size {}", config->hidden), kCorrectConfig);
  } else {
    config->head_dim = config->hidden / config->heads;
  }
  return {};
}

Status read_ids(const JsonObject& root, const Defaults& defaults, ModelConfig* config) {
  NARU_ASSIGN(config->bos_ids, root.find_ids("bos_token_id", -1, INT32_MAX));
  NARU_ASSIGN(config->eos_ids, root.find_ids("eos_token_id", -1, INT32_MAX));
  NARU_ASSIGN(const auto pad, root.find_int("pad_token_id", -1, INT32_MAX));
  if (!root.value().contains("bos_token_id")) config->bos_ids = {defaults.bos};
  if (!root.value().contains("eos_token_id")) config->eos_ids = {defaults.eos};
  if (pad) config->pad_id = static_cast<int32_t>(*pad);
  return {};
}

// Everything that would make the arithmetic another one.
Status read_variants(const JsonObject& root, ModelConfig* config) {
  NARU_ASSIGN(const std::string act, root.get_string_or("hidden_act", "silu"));
  if (act != "silu" && act != "swish") return refuse(root, "hidden_act", json_brief(nlohmann::json(act)), "\"silu\"");
  NARU_ASSIGN(const bool mlp_bias, root.get_bool_or("mlp_bias", false));
  if (mlp_bias && config->family == Family::kLlama) return refuse(root, "mlp_bias", "true", "false");
  NARU_ASSIGN(const bool attention_bias, root.get_bool_or("attention_bias", false));
  if (attention_bias && is_deepseek(config->family)) return refuse(root, "attention_bias", "true", "false");
  config->qkv_bias = config->family == Family::kQwen2 || attention_bias;
  config->o_bias = config->family != Family::kQwen2 && attention_bias;
  config->qk_norm = config->family == Family::kQwen3;
  if (root.has("per_layer_config")) return refuse(root, "per_layer_config", "there", "one shape for all layers");
  if (config->family != Family::kQwen2 && config->family != Family::kQwen3) return {};

  NARU_ASSIGN(const bool use_window, root.get_bool_or("use_sliding_window", false));
  NARU_ASSIGN(const auto window, root.find_int("sliding_window", 0, INT64_MAX));
  NARU_ASSIGN(const int64_t first, root.get_int_or("max_window_layers", 0, INT64_MAX, 28));
  NARU_ASSIGN(const auto types, root.find_array("layer_types"));
  const bool has_window = use_window && (window || !root.value().contains("sliding_window"));
  if (types.empty() && has_window && first < config->layers) {
    return refuse(root, "use_sliding_window", "true", "attention over all positions in every layer");
  }
  for (const nlohmann::json* type : types) {
    if (!type->is_string() || type->get_ref<const std::string&>() != "full_attention") {
      return refuse(root, "layer_types", json_brief(*type), "\"full_attention\" in every layer");
    }
  }
  return {};
}

// --- rotary embedding ---------------------------------------------------------------------------------------------

// The object that holds the rotary settings: rope_scaling where it is there and not empty, else rope_parameters.
Result<std::optional<JsonObject>> find_rope(const JsonObject& root) {
  for (const std::string_view key : {"rope_scaling", "rope_parameters"}) {
    NARU_ASSIGN(auto object, root.find_object(key));
    if (!object || object->value().empty()) continue;
    for (const auto& [name, value] : object->value().items()) {
      if (value.is_object()) return refuse(*object, name, "an object", "one rotary setting for all layers");
    }
    return object;
  }
  return std::optional<JsonObject>();
}

Result<RopeKind> read_rope_kind(const JsonObject& rope) {
  NARU_ASSIGN(const auto type, rope.find_string("rope_type"));
  NARU_ASSIGN(const std::string legacy, rope.get_string_or("type", "default"));
  const std::string word = type.value_or(legacy);
  if (word == "default") return RopeKind::kNone;
  if (word == "linear") return RopeKind::kLinear;
  if (word == "llama3") return RopeKind::kLlama3;
  if (word == "yarn") return RopeKind::kYarn;
  return refuse(rope, type ? "rope_type" : "type", json_brief(nlohmann::json(word)),
                "one of default, linear, llama3, yarn");
}

Status read_yarn(const JsonObject& rope, const ModelConfig& config, RopeConfig* out) {
  NARU_ASSIGN(const auto factor, rope.find_double("factor"));
  out->factor =
      factor.value_or(static_cast<double>(config.max_positions) / static_cast<double>(out->original_positions));
  NARU_ASSIGN(const double fast, rope.get_double_or("beta_fast", 32));
  NARU_ASSIGN(const double slow, rope.get_double_or("beta_slow", 1));
  out->beta_fast = fast == 0 ? 32 : fast;  // the official function takes 0 for "not given"
  out->beta_slow = slow == 0 ? 1 : slow;
  NARU_ASSIGN(out->mscale, rope.get_double_or("mscale", 0));
  NARU_ASSIGN(out->attention_factor, rope.find_double("attention_factor"));
  NARU_ASSIGN(out->truncate, rope.get_bool_or("truncate", true));
  return {};
}

Status read_rope(const JsonObject& root, ModelConfig* config) {
  RopeConfig& out = config->rope;
  NARU_ASSIGN(out.theta, root.get_double_or("rope_theta", 10000.0));
  NARU_ASSIGN(double partial, root.get_double_or("partial_rotary_factor", 1.0));
  NARU_ASSIGN(const auto rope, find_rope(root));
  if (rope) {
    NARU_ASSIGN(out.theta, rope->get_double_or("rope_theta", out.theta));
    NARU_ASSIGN(partial, rope->get_double_or("partial_rotary_factor", partial));
    NARU_ASSIGN(out.kind, read_rope_kind(*rope));
    NARU_ASSIGN(out.mscale_all_dim, rope->get_double_or("mscale_all_dim", 0));
    NARU_ASSIGN(const auto outer, root.find_int("original_max_position_embeddings", 1, kPositionsMax));
    NARU_ASSIGN(const auto inner, rope->find_int("original_max_position_embeddings", 1, kPositionsMax));
    out.original_positions = outer ? *outer : inner.value_or(config->max_positions);
    switch (out.kind) {
      case RopeKind::kNone:
      case RopeKind::kDivisors: break;
      case RopeKind::kLinear: {
        NARU_ASSIGN(out.factor, rope->get_double("factor"));
        break;
      }
      case RopeKind::kLlama3: {
        NARU_ASSIGN(out.factor, rope->get_double("factor"));
        NARU_ASSIGN(out.low_freq_factor, rope->get_double("low_freq_factor"));
        NARU_ASSIGN(out.high_freq_factor, rope->get_double("high_freq_factor"));
        break;
      }
      case RopeKind::kYarn: NARU_TRY(read_yarn(*rope, *config, &out)); break;
    }
  }
  if (partial != 1.0)
    return refuse(root, "partial_rotary_factor", fmt::format("{}", partial), "1 (every channel rotated)");
  if (config->family == Family::kDeepseekV2) out.interleaved = true;
  if (config->family == Family::kDeepseekV3) {
    NARU_ASSIGN(out.interleaved, root.get_bool_or("rope_interleave", true));
  }
  return {};
}

// --- DeepSeek -----------------------------------------------------------------------------------------------------

Status read_mla(const JsonObject& root, ModelConfig* config) {
  MlaConfig& mla = config->mla;
  NARU_ASSIGN(mla.q_lora_rank, root.get_int_or("q_lora_rank", 0, kWidthMax, is_null(root, "q_lora_rank") ? 0 : 1536));
  NARU_ASSIGN(mla.kv_lora_rank, root.get_int_or("kv_lora_rank", 1, kWidthMax, 512));
  NARU_ASSIGN(mla.qk_nope_head_dim, root.get_int_or("qk_nope_head_dim", 1, kWidthMax, 128));
  NARU_ASSIGN(mla.qk_rope_head_dim, root.get_int_or("qk_rope_head_dim", 1, kWidthMax, 64));
  NARU_ASSIGN(mla.v_head_dim, root.get_int_or("v_head_dim", 1, kWidthMax, 128));
  config->head_dim = mla.qk_nope_head_dim + mla.qk_rope_head_dim;
  NARU_ASSIGN(const auto form, root.find_string("naru_attention_form"));
  if (form == "latent") {
    config->attention_form = AttentionForm::kLatent;
  } else if (form == "expanded") {
    config->attention_form = AttentionForm::kExpanded;
  } else if (form) {
    return root.wrong(Code::kCorrupt, "naru_attention_form", json_brief(nlohmann::json(*form)),
                      "\"latent\" or \"expanded\"", kCorrectConfig);
  }
  return {};
}

// The words that other implementations read and the official classes ignore: accepted where they say what those
// classes do, refused where they ask for something else.
Status check_routing_words(const JsonObject& root, bool is_v3, MoeConfig* moe) {
  NARU_ASSIGN(const int64_t every, root.get_int_or("moe_layer_freq", 0, INT64_MAX, 1));
  if (every != 1) return refuse(root, "moe_layer_freq", std::to_string(every), "1");
  const std::string_view scoring = is_v3 ? "sigmoid" : "softmax";
  NARU_ASSIGN(const std::string word, root.get_string_or("scoring_func", std::string(scoring)));
  if (word != scoring)
    return refuse(root, "scoring_func", json_brief(nlohmann::json(word)), fmt::format("\"{}\"", scoring));
  moe->scoring = is_v3 ? ScoringKind::kSigmoid : ScoringKind::kSoftmax;
  NARU_ASSIGN(const std::string method, root.get_string_or("topk_method", is_v3 ? "noaux_tc" : "greedy"));
  if (is_v3 && method == "noaux_tc") {
    moe->group_method = GroupMethod::kNoAuxTc;
  } else if (!is_v3 && method == "greedy") {
    moe->group_method = GroupMethod::kGreedy;
  } else if (!is_v3 && method == "group_limited_greedy") {
    moe->group_method = GroupMethod::kGroupLimited;
  } else {
    return refuse(root, "topk_method", json_brief(nlohmann::json(method)),
                  is_v3 ? "\"noaux_tc\"" : "\"greedy\" or \"group_limited_greedy\"");
  }
  return {};
}

Status read_moe(const JsonObject& root, ModelConfig* config) {
  const bool is_v3 = config->family == Family::kDeepseekV3;
  MoeConfig& moe = config->moe;
  NARU_ASSIGN(moe.experts, root.get_int_or("n_routed_experts", 1, kExpertsMax, is_v3 ? 256 : 64));
  if (is_v3) {
    NARU_ASSIGN(moe.experts_per_token, root.get_int_or("num_experts_per_tok", 1, kExpertsMax, 8));
  } else {
    NARU_ASSIGN(moe.experts_per_token, root.get_int("num_experts_per_tok", 1, kExpertsMax));
  }
  const int64_t shared = is_null(root, "n_shared_experts") ? 0 : is_v3 ? 1 : 2;
  NARU_ASSIGN(moe.shared_experts, root.get_int_or("n_shared_experts", 0, 1024, shared));
  NARU_ASSIGN(moe.ffn, root.get_int_or("moe_intermediate_size", 1, kFfnMax, is_v3 ? 2048 : 1407));
  NARU_ASSIGN(moe.first_dense, root.get_int_or("first_k_dense_replace", 0, kLayersMax, is_v3 ? 3 : 0));
  moe.first_dense = std::min(moe.first_dense, config->layers);
  NARU_TRY(check_routing_words(root, is_v3, &moe));
  const bool has_groups = moe.group_method != GroupMethod::kGreedy;
  NARU_ASSIGN(const int64_t groups,
              root.get_int_or("n_group", 1, kExpertsMax, is_v3 && !is_null(root, "n_group") ? 8 : 1));
  NARU_ASSIGN(const int64_t kept,
              root.get_int_or("topk_group", 1, kExpertsMax, is_v3 && !is_null(root, "topk_group") ? 4 : 1));
  moe.n_group = has_groups ? groups : 1;
  moe.topk_group = has_groups ? kept : 1;
  NARU_ASSIGN(const bool norm, root.get_bool_or("norm_topk_prob", is_v3));
  moe.norm_topk = is_v3 && norm;  // the official V2 router never divides by the sum, whatever the key says
  NARU_ASSIGN(moe.routed_scaling, root.get_double_or("routed_scaling_factor", is_v3 ? 2.5 : 1.0));
  moe.has_bias = is_v3;
  if (is_v3) {
    const std::string_view key = root.has("num_nextn_predict_layers") ? "num_nextn_predict_layers" : "num_mtp_layers";
    NARU_ASSIGN(config->mtp_layers, root.get_int_or(key, 0, kMtpLayersMax, 0));
  }
  return {};
}

Status read_quantization(const JsonObject& root, ModelConfig* config) {
  NARU_ASSIGN(const auto object, root.find_object("quantization_config"));
  if (!object) return {};
  NARU_ASSIGN(const std::string method, object->get_string("quant_method"));
  constexpr std::string_view kNext = "use the bf16, FP8 or GGUF form of the model";
  if (method != "fp8") return refuse(*object, "quant_method", json_brief(nlohmann::json(method)), "\"fp8\"", kNext);
  NARU_ASSIGN(const std::string fmt_word, object->get_string_or("fmt", "e4m3"));
  if (fmt_word != "e4m3") return refuse(*object, "fmt", json_brief(nlohmann::json(fmt_word)), "\"e4m3\"", kNext);
  const nlohmann::json* block = object->find("weight_block_size");
  if (block == nullptr || *block != nlohmann::json::array({128, 128})) {
    return refuse(*object, "weight_block_size", block == nullptr ? "missing" : printable(block->dump()), "[128, 128]",
                  kNext);
  }
  config->fp8_block_rows = 128;
  config->fp8_block_cols = 128;
  return {};
}

void list_unknown_keys(const JsonObject& root, ModelConfig* config) {
  constexpr size_t kListed = 64;
  for (const auto& [key, value] : root.value().items()) {
    if (std::find(std::begin(kKnownKeys), std::end(kKnownKeys), key) != std::end(kKnownKeys)) continue;
    if (config->unknown_keys.size() < kListed) config->unknown_keys.push_back(key);
  }
}

}  // namespace

Result<ModelConfig> parse_model_config(Bytes config_json, std::string_view name) {
  NARU_ASSIGN(const nlohmann::json document, parse_json(config_json, name, {.bytes_max = kConfigBytesMax}));
  NARU_ASSIGN(const JsonObject root, JsonObject::of(document, name));
  NARU_ASSIGN(const Defaults* defaults, read_family(root));
  ModelConfig config;
  config.family = defaults->family;
  NARU_TRY(read_sizes(root, *defaults, &config));
  NARU_TRY(read_ids(root, *defaults, &config));
  NARU_TRY(read_variants(root, &config));
  NARU_TRY(read_rope(root, &config));
  if (is_deepseek(config.family)) {
    NARU_TRY(read_mla(root, &config));
    NARU_TRY(read_moe(root, &config));
  }
  NARU_TRY(read_quantization(root, &config));
  const std::string_view dtype_key = root.has("dtype") ? "dtype" : "torch_dtype";
  NARU_ASSIGN(config.dtype, root.get_string_or(dtype_key, ""));
  list_unknown_keys(root, &config);
  NARU_TRY(check_model_config(&config, name));
  return config;
}

}  // namespace naru::formats
