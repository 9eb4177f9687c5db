// What both sources of a configuration share: the families and their names, derived factors, checks; and the files of a
// folder.
#include "formats/model_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <system_error>

#include "base/check.h"
#include "base/double_math.h"
#include "base/file.h"
#include "formats/json.h"
#include "formats/model_config_check.h"

namespace naru::formats {
namespace {

// One consistency rule: where it is broken, a message with `field` as the place.
struct Checker {
  std::string_view name;
  Status status;

  void require(bool good, std::string_view field, std::string_view found, std::string_view wanted) {
    if (good || !status.ok()) return;
    status = Error{Code::kCorrupt,
                   fmt::format("reading {}: {} is {}, {} was wanted; {}", name, field, found, wanted, kCorrectConfig)};
  }
  void in_range(int64_t value, int64_t min, int64_t max, std::string_view field) {
    require(value >= min && value <= max, field, std::to_string(value),
            fmt::format("an integer from {} to {}", min, max));
  }
  void in_range(double value, double min, double max, std::string_view field) {
    require(value >= min && value <= max, field, fmt::format("{}", value),
            fmt::format("a number from {} to {}", min, max));
  }
  void even(int64_t value, std::string_view field) {
    require(value % 2 == 0, field, std::to_string(value), "an even number (rotation turns pairs)");
  }
};

void check_rope(const RopeConfig& rope, Checker* check) {
  check->require(rope.theta >= 1 && rope.theta <= 1e30, "rope_theta", fmt::format("{}", rope.theta),
                 "a number from 1 to 1e30");
  if (rope.kind == RopeKind::kNone || rope.kind == RopeKind::kDivisors) return;
  check->in_range(rope.mscale_all_dim, 0.0, 1e3, "mscale_all_dim");
  check->in_range(rope.factor, 1.0, kRopeFactorMax, "the rope scaling factor");
  if (rope.kind == RopeKind::kLinear) return;
  check->in_range(rope.original_positions, 1, kPositionsMax, "original_max_position_embeddings");
  if (rope.kind == RopeKind::kLlama3) {
    check->in_range(rope.low_freq_factor, 1e-6, 1e6, "low_freq_factor");
    check->in_range(rope.high_freq_factor, 1e-6, 1e6, "high_freq_factor");
    check->require(rope.high_freq_factor > rope.low_freq_factor, "high_freq_factor",
                   fmt::format("{}", rope.high_freq_factor),
                   fmt::format("more than low_freq_factor {}", rope.low_freq_factor));
    return;
  }
  check->require(rope.theta > 1, "rope_theta", fmt::format("{}", rope.theta), "a number above 1 for yarn");
  check->in_range(rope.beta_fast, 1e-6, 1e6, "beta_fast");
  check->in_range(rope.beta_slow, 1e-6, 1e6, "beta_slow");
  check->in_range(rope.mscale, 0.0, 1e3, "mscale");
  check->in_range(rope.attention_factor.value_or(1.0), 1e-6, 1e6, "attention_factor");
}

void check_mla(const ModelConfig& config, Checker* check) {
  const MlaConfig& mla = config.mla;
  check->in_range(mla.q_lora_rank, 0, kWidthMax, "q_lora_rank");
  check->in_range(mla.kv_lora_rank, 1, kWidthMax, "kv_lora_rank");
  check->in_range(mla.qk_nope_head_dim, 1, kWidthMax, "qk_nope_head_dim");
  check->in_range(mla.qk_rope_head_dim, 2, kWidthMax, "qk_rope_head_dim");
  check->in_range(mla.v_head_dim, 1, kWidthMax, "v_head_dim");
  check->even(mla.qk_rope_head_dim, "qk_rope_head_dim");
  check->require(config.kv_heads == config.heads, "num_key_value_heads", std::to_string(config.kv_heads),
                 fmt::format("{}, the number of heads (latent attention has no groups)", config.heads));
}

void check_moe(const ModelConfig& config, Checker* check) {
  const MoeConfig& moe = config.moe;
  check->in_range(moe.experts, 1, kExpertsMax, "n_routed_experts");
  check->in_range(moe.experts_per_token, 1, moe.experts, "num_experts_per_tok");
  check->in_range(moe.shared_experts, 0, 1024, "n_shared_experts");
  check->in_range(moe.ffn, 1, kFfnMax, "moe_intermediate_size");
  check->in_range(moe.first_dense, 0, config.layers, "first_k_dense_replace");
  check->in_range(moe.n_group, 1, moe.experts, "n_group");
  check->in_range(moe.topk_group, 1, std::max<int64_t>(moe.n_group, 1), "topk_group");
  check->in_range(moe.routed_scaling, 1e-9, 1e9, "routed_scaling_factor");
  if (!check->status.ok()) return;
  check->require(moe.experts % moe.n_group == 0, "n_routed_experts", std::to_string(moe.experts),
                 fmt::format("a multiple of n_group {}", moe.n_group));
  const int64_t group = moe.experts / moe.n_group;
  check->require(moe.experts_per_token <= moe.topk_group * group, "num_experts_per_tok",
                 std::to_string(moe.experts_per_token),
                 fmt::format("at most the {} experts of topk_group groups", moe.topk_group * group));
  check->require(moe.group_method != GroupMethod::kNoAuxTc || group >= 2, "n_group", std::to_string(moe.n_group),
                 "groups of two experts or more (a group's score is the sum of its two largest)");
}

void drop_foreign_ids(int64_t vocab, std::vector<int32_t>* ids) {
  std::erase_if(*ids, [&](int32_t id) { return id < 0 || id >= vocab; });
}

}  // namespace

namespace {

struct FamilyRow {
  Family family;
  std::string_view name, official_class, gguf;
  bool gguf_interleaves = false;
};
constexpr FamilyRow kFamilies[] = {
    {Family::kLlama, "llama", "LlamaForCausalLM", "llama", true},
    {Family::kQwen2, "qwen2", "Qwen2ForCausalLM", "qwen2"},
    {Family::kQwen3, "qwen3", "Qwen3ForCausalLM", "qwen3"},
    {Family::kDeepseekV2, "deepseek_v2", "DeepseekV2ForCausalLM", "deepseek2"},
    {Family::kDeepseekV3, "deepseek_v3", "DeepseekV3ForCausalLM", "deepseek2"},
};

const FamilyRow& row_of(Family family) {
  const FamilyRow* const row = std::ranges::find(kFamilies, family, &FamilyRow::family);
  NARU_CHECK(row != std::end(kFamilies), static_cast<int>(family));
  return *row;
}

}  // namespace

std::string_view family_name(Family family) {
  return row_of(family).name;
}
std::string_view official_class(Family family) {
  return row_of(family).official_class;
}
std::string_view gguf_architecture(Family family) {
  return row_of(family).gguf;
}
bool gguf_interleaves(Family family) {
  return row_of(family).gguf_interleaves;
}

std::vector<Family> families() {
  std::vector<Family> all;
  for (const FamilyRow& row : kFamilies) all.push_back(row.family);
  return all;
}

std::string supported_families() {
  std::string text;
  for (const FamilyRow& row : kFamilies) text += fmt::format("{}{}", text.empty() ? "" : ", ", row.name);
  return text;
}

namespace {
double yarn_m(double factor, double mscale) {
  return factor <= 1 ? 1.0 : 0.1 * mscale * log_double(factor) + 1.0;
}
}  // namespace

double yarn_attention_factor(const RopeConfig& rope) {
  if (rope.kind != RopeKind::kYarn) return 1.0;
  if (rope.attention_factor) return *rope.attention_factor;
  if (rope.mscale != 0 && rope.mscale_all_dim != 0) {
    return yarn_m(rope.factor, rope.mscale) / yarn_m(rope.factor, rope.mscale_all_dim);
  }
  return yarn_m(rope.factor, 1.0);
}

double mla_scale_factor(const RopeConfig& rope) {
  if (rope.kind == RopeKind::kNone || rope.mscale_all_dim == 0) return 1.0;
  const double m = yarn_m(rope.factor, rope.mscale_all_dim);
  return m * m;
}

Status check_model_config(ModelConfig* config, std::string_view name) {
  Checker check{name, {}};
  check.in_range(config->vocab, 1, kVocabMax, "vocab_size");
  check.in_range(config->hidden, 1, kWidthMax, "hidden_size");
  check.in_range(config->layers, 1, kLayersMax, "num_hidden_layers");
  check.in_range(config->heads, 1, kHeadsMax, "num_attention_heads");
  check.in_range(config->kv_heads, 1, kHeadsMax, "num_key_value_heads");
  check.in_range(config->head_dim, 1, 2 * kWidthMax, "head_dim");
  check.in_range(config->ffn, 1, kFfnMax, "intermediate_size");
  check.in_range(config->max_positions, 1, kPositionsMax, "max_position_embeddings");
  check.in_range(config->mtp_layers, 0, is_deepseek(config->family) ? kMtpLayersMax : 0, "num_nextn_predict_layers");
  check.require(config->rms_eps > 0 && config->rms_eps <= 1, "rms_norm_eps", fmt::format("{}", config->rms_eps),
                "a number above 0, at most 1");
  check_rope(config->rope, &check);
  if (!check.status.ok()) return check.status;
  check.require(config->heads % config->kv_heads == 0, "num_key_value_heads", std::to_string(config->kv_heads),
                fmt::format("a divisor of the {} heads", config->heads));
  if (is_deepseek(config->family)) {
    check_mla(*config, &check);
    check_moe(*config, &check);
  } else {
    check.even(config->head_dim, "head_dim");
  }
  drop_foreign_ids(config->vocab, &config->bos_ids);
  drop_foreign_ids(config->vocab, &config->eos_ids);
  if (config->pad_id && (*config->pad_id < 0 || *config->pad_id >= config->vocab)) config->pad_id.reset();
  return check.status;
}

Result<ModelConfig> read_model_config(const std::filesystem::path& folder) {
  const std::filesystem::path path = folder / "config.json";
  NARU_ASSIGN(const std::string text, read_file(path, kConfigBytesMax));
  return parse_model_config(as_bytes(text), path.string());
}

}  // namespace naru::formats
