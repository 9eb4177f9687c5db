// GGUF metadata to ModelConfig: the architectures llama, qwen2, qwen3 and deepseek2, the last one also as older
// converters wrote it (without the *_mla widths, the gating function or the expert groups).
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <optional>

#include "formats/gguf.h"
#include "formats/model_config.h"
#include "formats/model_config_check.h"
#include "formats/utf8.h"

namespace naru::formats {
namespace {

// Typed look-ups of "{arch}.KEY".
struct ArchKeys {
  const GgufIndex& gguf;
  std::string arch;

  std::string key(std::string_view name) const { return fmt::format("{}.{}", arch, name); }
  Result<int64_t> get(std::string_view name, int64_t min, int64_t max) const {
    NARU_ASSIGN(const auto value, find(name, min, max));
    if (!value) return gguf.missing(key(name));
    return *value;
  }
  // Converters write some keys as an array of one value for each layer: read where all are the same.
  Result<std::optional<int64_t>> find(std::string_view name, int64_t min, int64_t max) const {
    const GgufValue* value = gguf.find(key(name));
    if (value == nullptr || value->type != GgufType::kArray) return gguf.find_int(key(name), min, max);
    NARU_ASSIGN(const int64_t layers, gguf.get_int(key("block_count"), 1, kLayersMax + kMtpLayersMax));
    NARU_ASSIGN(const auto numbers, gguf.find_ints(key(name), INT64_MIN, INT64_MAX));
    if (value->count != layers) {
      return gguf.wrong(Code::kCorrupt, key(name), fmt::format("an array of {} values", value->count),
                        fmt::format("one for each of the {} layers", layers), kConvertAgain);
    }
    const int64_t first = numbers->front();
    const auto other = std::find_if(numbers->begin(), numbers->end(), [&](int64_t n) { return n != first; });
    if (other != numbers->end()) {
      return refuse(name, fmt::format("{} in layer 0 and {} in layer {}", first, *other, other - numbers->begin()),
                    "the same in every layer");
    }
    if (first < min || first > max) {
      return gguf.wrong(Code::kCorrupt, key(name), fmt::format("{} in every layer", first),
                        fmt::format("an integer from {} to {}", min, max), kConvertAgain);
    }
    return std::optional(first);
  }
  Result<int64_t> get_or(std::string_view name, int64_t min, int64_t max, int64_t fallback) const {
    NARU_ASSIGN(const auto value, find(name, min, max));
    return value.value_or(fallback);
  }
  Result<double> number_or(std::string_view name, double fallback) const {
    const GgufValue* found = gguf.find(key(name));
    if (found != nullptr && found->type == GgufType::kArray)
      return refuse(name, "an array", "one number for all layers");
    NARU_ASSIGN(const auto value, gguf.find_double(key(name)));
    return value.value_or(fallback);
  }
  Error refuse(std::string_view name, std::string_view found, std::string_view wanted) const {
    return gguf.wrong(Code::kUnsupported, key(name), found, wanted, kOtherModel);
  }
};

Result<int64_t> read_vocab(const ArchKeys& keys) {
  NARU_ASSIGN(const auto said, keys.find("vocab_size", 1, kVocabMax));
  const GgufTensor* embedding = keys.gguf.find_tensor("token_embd.weight");
  if (embedding == nullptr) {
    if (said) return *said;
    return keys.gguf.missing(keys.key("vocab_size"));
  }
  if (embedding->shape.size() != 2) {
    return Error{Code::kCorrupt,
                 fmt::format("reading {}: tensor 'token_embd.weight' has {} dimensions, 2 were wanted; {}",
                             keys.gguf.name(), embedding->shape.size(), kConvertAgain)};
  }
  const int64_t rows = embedding->shape[0];
  if (said && *said != rows) {
    return keys.gguf.wrong(Code::kCorrupt, keys.key("vocab_size"), std::to_string(*said),
                           fmt::format("{}, the rows of token_embd.weight,", rows), kConvertAgain);
  }
  return rows;
}

Status read_sizes(const ArchKeys& keys, ModelConfig* config) {
  NARU_ASSIGN(config->vocab, read_vocab(keys));
  NARU_ASSIGN(config->hidden, keys.get("embedding_length", 1, kWidthMax));
  NARU_ASSIGN(config->ffn, keys.get("feed_forward_length", 1, kFfnMax));
  NARU_ASSIGN(config->layers, keys.get("block_count", 1, kLayersMax + kMtpLayersMax));
  NARU_ASSIGN(config->mtp_layers, keys.get_or("nextn_predict_layers", 0, kMtpLayersMax, 0));
  config->layers -= config->mtp_layers;  // the count includes them
  NARU_ASSIGN(config->heads, keys.get("attention.head_count", 1, kHeadsMax));
  NARU_ASSIGN(config->max_positions, keys.get("context_length", 1, kPositionsMax));
  NARU_ASSIGN(config->rms_eps, keys.gguf.get_double(keys.key("attention.layer_norm_rms_epsilon")));
  config->tie_embeddings = keys.gguf.find_tensor("output.weight") == nullptr;
  return {};
}

Status read_plain_attention(const ArchKeys& keys, ModelConfig* config) {
  NARU_ASSIGN(config->kv_heads, keys.get_or("attention.head_count_kv", 1, kHeadsMax, config->heads));
  NARU_ASSIGN(const auto key_length, keys.find("attention.key_length", 1, kWidthMax));
  if (!key_length && config->hidden % config->heads != 0) {
    return keys.gguf.wrong(Code::kCorrupt, keys.key("attention.head_count"), std::to_string(config->heads),
                           fmt::format("a divisor of the width {}", config->hidden), kConvertAgain);
  }
  config->head_dim = key_length.value_or(config->hidden / config->heads);
  NARU_ASSIGN(const int64_t value_length, keys.get_or("attention.value_length", 1, kWidthMax, config->head_dim));
  if (value_length != config->head_dim) {
    return keys.refuse("attention.value_length", std::to_string(value_length),
                       fmt::format("{}, as for keys,", config->head_dim));
  }
  NARU_ASSIGN(const int64_t rotated, keys.get_or("rope.dimension_count", 1, kWidthMax, config->head_dim));
  if (rotated != config->head_dim) {
    return keys.refuse("rope.dimension_count", std::to_string(rotated),
                       fmt::format("{}, all of a head,", config->head_dim));
  }
  NARU_ASSIGN(const int64_t experts, keys.get_or("expert_count", 0, kExpertsMax, 0));
  if (experts != 0) return keys.refuse("expert_count", std::to_string(experts), "a dense model of this architecture");
  NARU_ASSIGN(const int64_t window, keys.get_or("attention.sliding_window", 0, INT64_MAX, 0));
  if (window != 0)
    return keys.refuse("attention.sliding_window", std::to_string(window), "attention over all positions");
  config->qkv_bias = keys.gguf.find_tensor("blk.0.attn_q.bias") != nullptr;
  config->o_bias = keys.gguf.find_tensor("blk.0.attn_output.bias") != nullptr;
  config->qk_norm = config->family == Family::kQwen3;
  config->rope.interleaved = gguf_interleaves(config->family);
  return {};
}

// --- rotary embedding ---------------------------------------------------------------------------------------------

Status read_divisors(const ArchKeys& keys, const ModelConfig& config, RopeConfig* rope) {
  for (const std::string_view other : {"rope_factors_long.weight", "rope_factors_short.weight"}) {
    if (keys.gguf.find_tensor(other) == nullptr) continue;
    return Error{Code::kUnsupported,
                 fmt::format("reading {}: tensor '{}' asks for longrope scaling, one of none, linear, yarn "
                             "and rope_freqs was wanted; {}",
                             keys.gguf.name(), other, kOtherModel)};
  }
  const GgufTensor* divisors = keys.gguf.find_tensor("rope_freqs.weight");
  if (divisors == nullptr) return {};
  const int64_t rotated = config.is_mla() ? config.mla.qk_rope_head_dim : config.head_dim;
  if (divisors->dtype != DType::kF32 || divisors->shape != std::vector<int64_t>{rotated / 2}) {
    return Error{Code::kCorrupt,
                 fmt::format("reading {}: tensor 'rope_freqs.weight' is no row of {} f32 values, one for each "
                             "rotated pair was wanted; {}",
                             keys.gguf.name(), rotated / 2, kConvertAgain)};
  }
  if (rope->kind != RopeKind::kNone) {
    return keys.refuse("rope.scaling.type", "set", "none beside the tensor rope_freqs.weight");
  }
  rope->kind = RopeKind::kDivisors;
  return {};
}

// Ten times a number that was a short decimal, as the double nearest to that decimal: 0.0707 gives 0.707.
double ten_times(double value) {
  char text[40];
  const auto written = std::to_chars(text, text + sizeof(text), value * 10, std::chars_format::general, 9);
  double result = value * 10;
  std::from_chars(text, written.ptr, result);
  return result;
}

Status read_rope(const ArchKeys& keys, ModelConfig* config) {
  RopeConfig& rope = config->rope;
  NARU_ASSIGN(rope.theta, keys.number_or("rope.freq_base", 10000.0));
  NARU_ASSIGN(const auto type, keys.gguf.find_string(keys.key("rope.scaling.type")));
  const std::string_view word = type.value_or("none");
  if (word == "linear") {
    rope.kind = RopeKind::kLinear;
  } else if (word == "yarn") {
    rope.kind = RopeKind::kYarn;
  } else if (word != "none") {
    return keys.refuse("rope.scaling.type", fmt::format("\"{}\"", printable(word)), "one of none, linear, yarn");
  }
  NARU_ASSIGN(rope.factor, keys.number_or("rope.scaling.factor", 1.0));
  NARU_ASSIGN(rope.original_positions,
              keys.get_or("rope.scaling.original_context_length", 1, kPositionsMax, config->max_positions));
  NARU_ASSIGN(rope.beta_fast, keys.number_or("rope.scaling.yarn_beta_fast", 32));
  NARU_ASSIGN(rope.beta_slow, keys.number_or("rope.scaling.yarn_beta_slow", 1));
  for (const std::string_view name : {"rope.scaling.attn_factor", "rope.scaling.yarn_attn_factor"}) {
    NARU_ASSIGN(const double factor, keys.number_or(name, 1.0));
    if (factor != 1.0) return keys.refuse(name, fmt::format("{}", factor), "1");
  }
  if (rope.kind == RopeKind::kYarn && is_deepseek(config->family)) {
    // The key holds 0.1 * mscale_all_dim. Published models have mscale == mscale_all_dim, so cos and sin stay as they
    // are; llama.cpp does the same for this architecture whatever the key says.
    NARU_ASSIGN(const double log_multiplier, keys.number_or("rope.scaling.yarn_log_multiplier", 0.0));
    rope.mscale_all_dim = ten_times(log_multiplier);
    rope.attention_factor = 1.0;
  }
  return read_divisors(keys, *config, &rope);
}

// --- deepseek2 ----------------------------------------------------------------------------------------------------

Status read_mla(const ArchKeys& keys, ModelConfig* config) {
  MlaConfig& mla = config->mla;
  NARU_ASSIGN(mla.q_lora_rank, keys.get_or("attention.q_lora_rank", 0, kWidthMax, 0));
  NARU_ASSIGN(mla.kv_lora_rank, keys.get("attention.kv_lora_rank", 1, kWidthMax));
  NARU_ASSIGN(mla.qk_rope_head_dim, keys.get("rope.dimension_count", 1, kWidthMax));
  // Newer files describe attention as one shared key of latent + rotary width and give a head's own widths apart.
  const bool is_new = keys.gguf.has(keys.key("attention.key_length_mla"));
  NARU_ASSIGN(config->head_dim, keys.get(is_new ? "attention.key_length_mla" : "attention.key_length", 1, kWidthMax));
  NARU_ASSIGN(mla.v_head_dim, keys.get(is_new ? "attention.value_length_mla" : "attention.value_length", 1, kWidthMax));
  mla.qk_nope_head_dim = config->head_dim - mla.qk_rope_head_dim;
  config->kv_heads = config->heads;
  config->rope.interleaved = true;
  return {};
}

// Files from before the group keys: the counts of experts tell the published models apart.
void guess_groups(MoeConfig* moe) {
  if (moe->scoring == ScoringKind::kSigmoid && moe->experts == 256) {
    moe->n_group = 8;  // DeepSeek-V3, R1
    moe->topk_group = 4;
  } else if (moe->scoring == ScoringKind::kSoftmax && moe->experts == 160) {
    moe->n_group = 8;  // DeepSeek-V2
    moe->topk_group = 3;
  }
}

Status read_moe(const ArchKeys& keys, ModelConfig* config) {
  MoeConfig& moe = config->moe;
  NARU_ASSIGN(moe.experts, keys.get("expert_count", 1, kExpertsMax));
  NARU_ASSIGN(moe.experts_per_token, keys.get("expert_used_count", 1, kExpertsMax));
  NARU_ASSIGN(moe.shared_experts, keys.get_or("expert_shared_count", 0, 1024, 0));
  NARU_ASSIGN(moe.ffn, keys.get("expert_feed_forward_length", 1, kFfnMax));
  NARU_ASSIGN(moe.first_dense, keys.get_or("leading_dense_block_count", 0, kLayersMax, 0));
  moe.first_dense = std::min(moe.first_dense, config->layers);
  NARU_ASSIGN(moe.routed_scaling, keys.number_or("expert_weights_scale", 1.0));
  if (moe.routed_scaling == 0) moe.routed_scaling = 1.0;  // older converters' word for "none"
  NARU_ASSIGN(const auto norm, keys.gguf.find_bool(keys.key("expert_weights_norm")));
  moe.norm_topk = norm.value_or(false);
  NARU_ASSIGN(const int64_t gating, keys.get_or("expert_gating_func", 0, 1000, 1));  // files without it are V2
  if (gating != 1 && gating != 2) {
    return keys.refuse("expert_gating_func", std::to_string(gating), "1 (softmax) or 2 (sigmoid)");
  }
  moe.scoring = gating == 2 ? ScoringKind::kSigmoid : ScoringKind::kSoftmax;
  if (keys.gguf.has(keys.key("expert_group_count"))) {
    NARU_ASSIGN(const int64_t groups, keys.get("expert_group_count", 0, kExpertsMax));
    NARU_ASSIGN(const int64_t kept, keys.get_or("expert_group_used_count", 0, kExpertsMax, 0));
    moe.n_group = std::max<int64_t>(groups, 1);
    moe.topk_group = std::max<int64_t>(kept, 1);
  } else {
    guess_groups(&moe);
  }
  config->family = gating == 2 ? Family::kDeepseekV3 : Family::kDeepseekV2;
  moe.group_method = gating == 2       ? GroupMethod::kNoAuxTc
                     : moe.n_group > 1 ? GroupMethod::kGroupLimited
                                       : GroupMethod::kGreedy;
  const std::string bias = fmt::format("blk.{}.exp_probs_b", moe.first_dense);
  moe.has_bias = keys.gguf.find_tensor(bias + ".bias") != nullptr || keys.gguf.find_tensor(bias) != nullptr;
  return {};
}

Status read_ids(const GgufIndex& gguf, ModelConfig* config) {
  const auto add = [&](std::string_view key, std::vector<int32_t>* ids) -> Status {
    NARU_ASSIGN(const auto id, gguf.find_int(key, -1, UINT32_MAX));  // -1 and 2^32 - 1 mean none
    if (id && *id >= 0 && *id <= INT32_MAX && std::find(ids->begin(), ids->end(), *id) == ids->end()) {
      ids->push_back(static_cast<int32_t>(*id));
    }
    return {};
  };
  NARU_TRY(add("tokenizer.ggml.bos_token_id", &config->bos_ids));
  NARU_TRY(add("tokenizer.ggml.eos_token_id", &config->eos_ids));
  NARU_TRY(add("tokenizer.ggml.eot_token_id", &config->eos_ids));
  NARU_TRY(add("tokenizer.ggml.eom_token_id", &config->eos_ids));
  NARU_ASSIGN(const auto all_ends, gguf.find_ints(kGgufEndIdsKey, 0, INT32_MAX));
  if (all_ends) config->eos_ids.assign(all_ends->begin(), all_ends->end());
  std::vector<int32_t> pad;
  NARU_TRY(add("tokenizer.ggml.padding_token_id", &pad));
  if (!pad.empty()) config->pad_id = pad[0];
  return {};
}

Result<Family> read_family(const GgufIndex& gguf, std::string_view arch) {
  std::vector<std::string_view> known;
  for (const Family family : families()) {
    const std::string_view name = gguf_architecture(family);
    if (name == arch) return family;
    if (known.empty() || known.back() != name) known.push_back(name);
  }
  return gguf.wrong(Code::kUnsupported, "general.architecture", fmt::format("\"{}\"", printable(arch)),
                    fmt::format("one of {}", fmt::join(known, ", ")), "use a model of one of these kinds");
}

}  // namespace

Result<ModelConfig> model_config_from_gguf(const GgufIndex& gguf) {
  NARU_ASSIGN(const std::string_view arch, gguf.get_string("general.architecture"));
  ModelConfig config;
  NARU_ASSIGN(config.family, read_family(gguf, arch));
  config.from_gguf = true;
  NARU_ASSIGN(const auto model_name, gguf.find_string("general.name"));
  config.name = printable(model_name.value_or(""), 200);
  const ArchKeys keys{gguf, std::string(arch)};
  NARU_TRY(read_sizes(keys, &config));
  if (is_deepseek(config.family)) {
    NARU_TRY(read_mla(keys, &config));
    NARU_TRY(read_moe(keys, &config));
  } else {
    NARU_TRY(read_plain_attention(keys, &config));
  }
  NARU_TRY(read_rope(keys, &config));
  NARU_TRY(read_ids(gguf, &config));
  NARU_TRY(check_model_config(&config, gguf.name()));
  return config;
}

}  // namespace naru::formats
