// config.json against the official classes (configs.json, made by tools/make_format_fixtures.py), GGUF metadata, and
// every way in which a configuration can lie.
#include "formats/model_config.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "formats/generation_config.h"
#include "formats/gguf.h"
#include "tests/formats/helpers.h"

namespace naru::formats {
namespace {

using Json = nlohmann::json;

Result<ModelConfig> parse_config(const Json& config) {
  const std::string text = config.dump();
  return parse_model_config(as_bytes(text), "config.json");
}

std::string_view rope_word(RopeKind kind) {
  switch (kind) {
    case RopeKind::kNone: return "default";
    case RopeKind::kLinear: return "linear";
    case RopeKind::kLlama3: return "llama3";
    case RopeKind::kYarn: return "yarn";
    case RopeKind::kDivisors: break;
  }
  return "divisors";
}

std::vector<int32_t> ids(const Json& value) {
  if (value.is_null()) return {};
  return value.is_array() ? value.get<std::vector<int32_t>>() : std::vector<int32_t>{value.get<int32_t>()};
}

void expect_as_official(const ModelConfig& config, const Json& expected) {
  const auto same = [&](std::string_view key, auto value) {
    if (!expected.contains(key)) return;
    EXPECT_EQ(value, expected[std::string(key)].get<decltype(value)>()) << key;
  };
  same("vocab", config.vocab);
  same("hidden", config.hidden);
  same("layers", config.layers);
  same("heads", config.heads);
  same("kv_heads", config.kv_heads);
  same("head_dim", config.head_dim);
  same("ffn", config.ffn);
  same("rms_eps", config.rms_eps);
  same("tie_embeddings", config.tie_embeddings);
  same("max_positions", config.max_positions);
  same("theta", config.rope.theta);
  same("rope_type", std::string(rope_word(config.rope.kind)));
  same("qkv_bias", config.qkv_bias);
  same("o_bias", config.o_bias);
  same("qk_norm", config.qk_norm);
  EXPECT_EQ(config.bos_ids, ids(expected["bos"]));
  EXPECT_EQ(config.eos_ids, ids(expected["eos"]));
  EXPECT_DOUBLE_EQ(yarn_attention_factor(config.rope), expected["attention_factor"].get<double>());
  if (!expected.contains("score_scale")) {
    EXPECT_FALSE(config.is_mla());
    return;
  }
  EXPECT_NEAR(mla_scale_factor(config.rope), expected["score_scale"].get<double>(), 1e-12);
  same("q_lora_rank", config.mla.q_lora_rank);
  same("kv_lora_rank", config.mla.kv_lora_rank);
  same("nope", config.mla.qk_nope_head_dim);
  same("rope", config.mla.qk_rope_head_dim);
  same("v", config.mla.v_head_dim);
  same("experts", config.moe.experts);
  same("experts_per_token", config.moe.experts_per_token);
  same("shared_experts", config.moe.shared_experts);
  same("moe_ffn", config.moe.ffn);
  same("first_dense", config.moe.first_dense);
  same("routed_scaling", config.moe.routed_scaling);
  same("norm_topk", config.moe.norm_topk);
  same("interleaved", config.rope.interleaved);
  if (config.moe.group_method != GroupMethod::kGreedy) {
    same("n_group", config.moe.n_group);
    same("topk_group", config.moe.topk_group);
  }
  EXPECT_EQ(config.moe.has_bias, config.family == Family::kDeepseekV3);
}

TEST(ModelConfig, AsTheOfficialClassesReadThem) {
  const Json cases = Json::parse(fixture("configs.json"));
  ASSERT_GE(cases.size(), 30u);
  for (const Json& one : cases) {
    SCOPED_TRACE(one["name"].get<std::string>());
    const auto config = parse_config(one["config"]);
    ASSERT_TRUE(config.ok()) << message_of(config);
    expect_as_official(*config, one["expected"]);
  }
}

Json llama() {
  return Json::parse(
      R"({"model_type": "llama", "vocab_size": 97, "hidden_size": 48, "intermediate_size": 80, "num_hidden_layers": 3,
      "num_attention_heads": 6, "num_key_value_heads": 2, "max_position_embeddings": 512, "rms_norm_eps": 1e-5})");
}

Json deepseek(std::string_view type) {
  Json config = llama();
  config.update(Json::parse(
      R"({"num_key_value_heads": 6, "n_routed_experts": 16, "num_experts_per_tok": 4, "n_group": 4, "topk_group": 2,
      "moe_intermediate_size": 24, "n_shared_experts": 1, "first_k_dense_replace": 1, "kv_lora_rank": 20, "q_lora_rank": 24,
      "qk_nope_head_dim": 16, "qk_rope_head_dim": 8, "v_head_dim": 12})"));
  config["model_type"] = type;
  return config;
}

Result<ModelConfig> with(Json config, std::string_view key, const Json& value) {
  config[std::string(key)] = value;
  return parse_config(config);
}

TEST(ModelConfig, NumbersThatLie) {
  const std::pair<std::string_view, std::vector<Json>> bad[] = {
      {"num_hidden_layers", {0, -1, 1001, 1000000000, 1.5, "3", true, Json::array()}},
      {"vocab_size", {0, -5, int64_t{1} << 40, "97"}},
      {"hidden_size", {0, -48, int64_t{1} << 40}},
      {"intermediate_size", {0, int64_t{1} << 40}},
      {"num_attention_heads", {0, -6, 1 << 20, 5, 48.0}},  // 5 does not divide 48
      {"num_key_value_heads", {0, 4, -2, 7}},
      {"max_position_embeddings", {0, -1, int64_t{1} << 40, 1e3}},
      {"rms_norm_eps", {-1e-6, 0, 2, "1e-6", Json::array()}},
      {"rope_theta", {0, -10000, "x"}},
      {"head_dim", {0, -8, 7, int64_t{1} << 40}},
      {"tie_word_embeddings", {1, "true"}},
      {"eos_token_id", {"x", 1.5, Json::array({1, "2"}), int64_t{1} << 40}},
  };
  for (const auto& [key, values] : bad) {
    for (const Json& value : values) {
      const auto config = with(llama(), key, value);
      ASSERT_FALSE(config.ok()) << key << " = " << value;
      expect_error(config, Code::kCorrupt, {"config.json"});
    }
  }
  expect_error(with(llama(), "num_hidden_layers", 1000000000), Code::kCorrupt,
               {"num_hidden_layers is 1000000000", "from 1 to 1000"});
  EXPECT_TRUE(with(llama(), "num_hidden_layers", 1000).ok());
  EXPECT_TRUE(with(llama(), "max_position_embeddings", int64_t{1} << 30).ok());
  expect_error(parse_model_config(as_bytes(R"({"model_type":"llama","rope_theta":NaN})"), "config.json"),
               Code::kCorrupt, {});
  expect_error(parse_model_config(as_bytes(R"({"model_type":"llama","rope_theta":1e999})"), "config.json"),
               Code::kCorrupt, {});
}

TEST(ModelConfig, LatentAttentionAndExpertsThatLie) {
  const std::pair<std::string_view, std::vector<Json>> bad[] = {
      {"num_experts_per_tok", {0, 17, 9, -1}},  // 9: two groups of four hold eight
      {"n_routed_experts", {0, 255, -16, int64_t{1} << 40}},
      {"n_group", {0, 3, 32, 16}},  // 16: groups of one expert
      {"topk_group", {0, 5}},
      {"moe_intermediate_size", {0, int64_t{1} << 40}},
      {"first_k_dense_replace", {-1, 1000000}},
      {"n_shared_experts", {-1, 1000000}},
      {"routed_scaling_factor", {0, -1, 1e300}},
      {"kv_lora_rank", {0, -1, int64_t{1} << 40}},
      {"q_lora_rank", {-1, int64_t{1} << 40}},
      {"qk_rope_head_dim", {0, 7, int64_t{1} << 40}},
      {"qk_nope_head_dim", {0, int64_t{1} << 62}},
      {"v_head_dim", {0, -12}},
      {"num_key_value_heads", {3, 12}},
      {"num_nextn_predict_layers", {-1, 17}},
      {"naru_attention_form", {"both", 5}},
  };
  for (const auto& [key, values] : bad) {
    for (const Json& value : values) {
      const auto config = with(deepseek("deepseek_v3"), key, value);
      ASSERT_FALSE(config.ok()) << key << " = " << value;
      expect_error(config, Code::kCorrupt, {"config.json"});
    }
  }
  Json missing = deepseek("deepseek_v2");
  missing.erase("num_experts_per_tok");
  expect_error(parse_config(missing), Code::kCorrupt, {"num_experts_per_tok is missing"});
}

TEST(ModelConfig, RotarySettingsThatLie) {
  const auto rope = [](const Json& value) { return with(llama(), "rope_scaling", value); };
  const Json llama3 = {{"rope_type", "llama3"}, {"factor", 8.0}, {"low_freq_factor", 1.0}, {"high_freq_factor", 4.0}};
  EXPECT_TRUE(rope(llama3).ok());
  const auto change = [&](std::string_view key, const Json& value) {
    Json changed = llama3;
    changed[std::string(key)] = value;
    return rope(changed);
  };
  expect_error(change("factor", 0), Code::kCorrupt, {"factor"});
  expect_error(change("factor", -8), Code::kCorrupt, {"factor"});
  expect_error(change("high_freq_factor", 1.0), Code::kCorrupt, {"more than low_freq_factor"});
  expect_error(change("original_max_position_embeddings", 0), Code::kCorrupt, {"original_max_position_embeddings"});
  expect_error(change("rope_theta", 0), Code::kCorrupt, {"rope_theta"});
  Json no_factor = llama3;
  no_factor.erase("factor");
  expect_error(rope(no_factor), Code::kCorrupt, {"rope_scaling.factor is missing"});
  expect_error(rope({{"type", "linear"}, {"factor", "x"}}), Code::kCorrupt, {"rope_scaling.factor"});
  expect_error(rope({{"type", "yarn"}, {"factor", 4}, {"rope_theta", 1.0}}), Code::kCorrupt, {"rope_theta"});
  expect_error(rope({{"type", "yarn"}, {"factor", 4}, {"beta_fast", -1}}), Code::kCorrupt, {"beta_fast"});
  expect_error(rope({{"type", "yarn"}, {"factor", 4}, {"attention_factor", 0}}), Code::kCorrupt, {"attention_factor"});
  expect_error(rope({{"type", "yarn"}, {"factor", 4}, {"mscale_all_dim", 1e308}}), Code::kCorrupt, {"mscale_all_dim"});
  expect_error(rope("yarn"), Code::kCorrupt, {"rope_scaling is"});
}

TEST(ModelConfig, WhatWouldChangeTheArithmeticIsRefusedByName) {
  const auto refuses = [](const Result<ModelConfig>& config, std::initializer_list<std::string_view> words) {
    expect_error(config, Code::kUnsupported, words);
  };
  refuses(with(llama(), "model_type", "mixtral"), {"\"mixtral\"", "llama, qwen2, qwen3, deepseek_v2, deepseek_v3"});
  refuses(with(llama(), "model_type", "deepseek_v32"), {"deepseek_v32"});
  refuses(with(llama(), "hidden_act", "gelu"), {"hidden_act", "\"gelu\"", "\"silu\""});
  refuses(with(llama(), "mlp_bias", true), {"mlp_bias"});
  refuses(with(llama(), "partial_rotary_factor", 0.5), {"partial_rotary_factor is 0.5"});
  refuses(with(llama(), "rope_scaling", {{"type", "dynamic"}, {"factor", 2}}), {"\"dynamic\"", "yarn"});
  refuses(with(llama(), "rope_scaling", {{"rope_type", "longrope"}}), {"\"longrope\""});
  refuses(with(llama(), "rope_parameters", {{"full_attention", {{"rope_type", "default"}}}}), {"full_attention"});
  refuses(with(llama(), "quantization_config", {{"quant_method", "awq"}}), {"\"awq\"", "\"fp8\""});
  refuses(with(llama(), "quantization_config", {{"quant_method", "fp8"}, {"weight_block_size", {64, 64}}}),
          {"[64,64]", "[128, 128]"});
  refuses(with(llama(), "quantization_config", {{"quant_method", "fp8"}, {"fmt", "e5m2"}}), {"e5m2"});
  refuses(with(deepseek("deepseek_v3"), "attention_bias", true), {"attention_bias"});
  refuses(with(deepseek("deepseek_v3"), "scoring_func", "softmax"), {"scoring_func"});
  refuses(with(deepseek("deepseek_v3"), "topk_method", "greedy"), {"topk_method"});
  refuses(with(deepseek("deepseek_v2"), "topk_method", "noaux_tc"), {"topk_method"});
  refuses(with(deepseek("deepseek_v2"), "moe_layer_freq", 2), {"moe_layer_freq is 2"});
  Json qwen = llama();
  qwen["model_type"] = "qwen2";
  EXPECT_TRUE(with(qwen, "sliding_window", 128).ok());  // off without use_sliding_window
  qwen["use_sliding_window"] = true;
  EXPECT_TRUE(with(qwen, "max_window_layers", 3).ok());  // no layer has it
  refuses(with(qwen, "max_window_layers", 2), {"use_sliding_window"});
  qwen["use_sliding_window"] = false;
  refuses(with(qwen, "layer_types", {"full_attention", "sliding_attention", "full_attention"}), {"sliding_attention"});
}

TEST(ModelConfig, KeysThatNameCodeDoNothingAndAreListed) {
  Json config = llama();
  config["auto_map"] = {{"AutoModelForCausalLM", "https://example.org/evil.Model"}};
  config["trust_remote_code"] = true;
  config["_attn_implementation_internal"] = "evil/kernel";
  const auto parsed = parse_config(config);
  ASSERT_TRUE(parsed.ok()) << message_of(parsed);
  EXPECT_EQ(parsed->unknown_keys,
            (std::vector<std::string>{"_attn_implementation_internal", "auto_map", "trust_remote_code"}));
  Json many = llama();
  for (int i = 0; i < 1000; ++i) many["key" + std::to_string(i)] = i;
  EXPECT_EQ(parse_config(many)->unknown_keys.size(), 64u);
}

TEST(ModelConfig, SmallThings) {
  EXPECT_EQ(with(llama(), "eos_token_id", {3, 96, 97, 100000})->eos_ids,
            (std::vector<int32_t>{3, 96}));  // those that can be
  EXPECT_EQ(with(llama(), "pad_token_id", -1)->pad_id, std::nullopt);
  EXPECT_EQ(with(llama(), "torch_dtype", "bfloat16")->dtype, "bfloat16");
  const Json fp8 = {
      {"quant_method", "fp8"}, {"fmt", "e4m3"}, {"weight_block_size", {128, 128}}, {"activation_scheme", "dynamic"}};
  EXPECT_EQ(with(deepseek("deepseek_v3"), "quantization_config", fp8)->fp8_block_cols, 128);
  EXPECT_EQ(with(deepseek("deepseek_v3"), "naru_attention_form", "latent")->attention_form, AttentionForm::kLatent);
  EXPECT_EQ(with(deepseek("deepseek_v2"), "naru_attention_form", "expanded")->attention_form, AttentionForm::kExpanded);
  EXPECT_EQ(parse_config(deepseek("deepseek_v2"))->attention_form, AttentionForm::kUnset);
  EXPECT_EQ(with(deepseek("deepseek_v3"), "num_nextn_predict_layers", 1)->mtp_layers, 1);
  EXPECT_TRUE(with(deepseek("deepseek_v3"), "first_k_dense_replace", 9)->moe.first_dense == 3);
  expect_error(parse_config(Json::array()), Code::kCorrupt, {"an object was wanted"});
  expect_error(parse_config(Json::object()), Code::kCorrupt, {"model_type is missing"});
}

TEST(ModelConfig, EveryPrefixIsRefused) {
  const std::string text = deepseek("deepseek_v3").dump();
  for (size_t n = 0; n < text.size(); ++n) ASSERT_FALSE(parse_model_config(as_bytes(text.substr(0, n)), "c").ok()) << n;
}

// --- GGUF ---------------------------------------------------------------------------------------------------------

Result<ModelConfig> from_gguf(const std::string& file) {
  const auto index = parse_gguf(as_bytes(file), "x.gguf");
  if (!index.ok()) return index.error();
  return model_config_from_gguf(*index);
}

TEST(ModelConfigGguf, ReadsAFileOfTheOfficialWriter) {
  const auto config = from_gguf(fixture("tiny.gguf"));
  ASSERT_TRUE(config.ok()) << message_of(config);
  EXPECT_EQ(config->family, Family::kLlama);
  EXPECT_EQ(config->name, "tiny");
  EXPECT_EQ(config->vocab, 9);
  EXPECT_EQ(config->hidden, 32);
  EXPECT_EQ(config->layers, 1);
  EXPECT_EQ(config->heads, 4);
  EXPECT_EQ(config->kv_heads, 2);
  EXPECT_EQ(config->head_dim, 8);
  EXPECT_EQ(config->rms_eps, 1e-5);
  EXPECT_EQ(config->rope.theta, 1e5);
  EXPECT_TRUE(config->rope.interleaved);
  EXPECT_TRUE(config->tie_embeddings);
  EXPECT_EQ(config->bos_ids, std::vector<int32_t>{0});
}

// Metadata as a table, so that each test changes one line of it.
struct Metadata {
  std::vector<std::pair<std::string, std::string>> values;  // key, bytes from the type on
  std::vector<std::string> tensors;                         // F32 [2]

  template <typename T>
  Metadata& set(const std::string& key, uint32_t type, T value) {
    std::string bytes;
    append(&bytes, type);
    append(&bytes, value);
    return put(key, bytes);
  }
  Metadata& u32(const std::string& key, uint32_t value) { return set(key, 4, value); }
  Metadata& f32(const std::string& key, float value) { return set(key, 6, value); }
  Metadata& text(const std::string& key, std::string_view value) {
    std::string bytes;
    append<uint32_t>(&bytes, 8);
    append<uint64_t>(&bytes, value.size());
    return put(key, bytes.append(value));
  }
  Metadata& put(const std::string& key, const std::string& bytes) {
    drop(key);
    values.emplace_back(key, bytes);
    return *this;
  }
  Metadata& drop(const std::string& key) {
    std::erase_if(values, [&](const auto& value) { return value.first == key; });
    return *this;
  }
  std::string file() const {
    GgufBytes out(tensors.size(), values.size());
    for (const auto& [key, bytes] : values) out.string(key).text += bytes;
    uint64_t offset = 0;
    for (const std::string& name : tensors) {
      out.tensor(name, {2}, 0, offset);
      offset += 32;
    }
    return out.data(offset).text;
  }
  Result<ModelConfig> parse() const { return from_gguf(file()); }
};

Metadata common(const std::string& arch) {
  Metadata m;
  m.text("general.architecture", arch);
  m.u32(arch + ".vocab_size", 100).u32(arch + ".embedding_length", 64).u32(arch + ".feed_forward_length", 96);
  m.u32(arch + ".block_count", 3).u32(arch + ".attention.head_count", 4).u32(arch + ".context_length", 4096);
  m.f32(arch + ".attention.layer_norm_rms_epsilon", 1e-6f).f32(arch + ".rope.freq_base", 1e4f);
  return m;
}

Metadata deepseek2() {
  Metadata m = common("deepseek2");
  m.u32("deepseek2.attention.head_count_kv", 1)
      .u32("deepseek2.attention.q_lora_rank", 24)
      .u32("deepseek2.attention.kv_lora_rank", 20);
  m.u32("deepseek2.attention.key_length", 28).u32("deepseek2.attention.value_length", 20);
  m.u32("deepseek2.attention.key_length_mla", 24)
      .u32("deepseek2.attention.value_length_mla", 12)
      .u32("deepseek2.rope.dimension_count", 8);
  m.u32("deepseek2.expert_count", 16).u32("deepseek2.expert_used_count", 4).u32("deepseek2.expert_shared_count", 1);
  m.u32("deepseek2.expert_feed_forward_length", 24).u32("deepseek2.leading_dense_block_count", 1);
  m.u32("deepseek2.expert_group_count", 4)
      .u32("deepseek2.expert_group_used_count", 2)
      .u32("deepseek2.expert_gating_func", 2);
  m.f32("deepseek2.expert_weights_scale", 2.5f).set<uint8_t>("deepseek2.expert_weights_norm", 7, 1);
  m.text("deepseek2.rope.scaling.type", "yarn").f32("deepseek2.rope.scaling.factor", 40);
  m.u32("deepseek2.rope.scaling.original_context_length", 4096).f32("deepseek2.rope.scaling.yarn_log_multiplier", 0.1f);
  m.tensors = {"blk.1.exp_probs_b.bias", "output.weight"};
  return m;
}

TEST(ModelConfigGguf, Deepseek3) {
  const auto config = deepseek2().parse();
  ASSERT_TRUE(config.ok()) << message_of(config);
  EXPECT_EQ(config->family, Family::kDeepseekV3);
  EXPECT_EQ(config->head_dim, 24);
  EXPECT_EQ(config->kv_heads, 4);
  EXPECT_EQ(config->mla.qk_nope_head_dim, 16);
  EXPECT_EQ(config->mla.v_head_dim, 12);
  EXPECT_EQ(config->mla.q_lora_rank, 24);
  EXPECT_EQ(config->moe.n_group, 4);
  EXPECT_EQ(config->moe.topk_group, 2);
  EXPECT_EQ(config->moe.group_method, GroupMethod::kNoAuxTc);
  EXPECT_TRUE(config->moe.norm_topk && config->moe.has_bias && config->rope.interleaved && !config->tie_embeddings);
  EXPECT_EQ(config->moe.routed_scaling, 2.5);
  EXPECT_DOUBLE_EQ(mla_scale_factor(config->rope), 1.8738542070926265);
  EXPECT_EQ(yarn_attention_factor(config->rope), 1.0);
}

TEST(ModelConfigGguf, Deepseek2LiteAsOldConvertersWroteIt) {
  Metadata m = deepseek2();
  for (const char* key :
       {"attention.q_lora_rank", "attention.key_length_mla", "attention.value_length_mla", "expert_group_count",
        "expert_group_used_count", "expert_gating_func", "expert_weights_norm"}) {
    m.drop(std::string("deepseek2.") + key);
  }
  m.u32("deepseek2.attention.head_count_kv", 4)
      .u32("deepseek2.attention.key_length", 24)
      .u32("deepseek2.attention.value_length", 12);
  m.f32("deepseek2.rope.scaling.yarn_log_multiplier", 0.0707f).f32("deepseek2.expert_weights_scale", 1.0f);
  m.tensors.clear();
  const auto config = m.parse();
  ASSERT_TRUE(config.ok()) << message_of(config);
  EXPECT_EQ(config->family, Family::kDeepseekV2);
  EXPECT_EQ(config->mla.q_lora_rank, 0);
  EXPECT_EQ(config->mla.qk_nope_head_dim, 16);
  EXPECT_EQ(config->moe.group_method, GroupMethod::kGreedy);
  EXPECT_EQ(config->rope.mscale_all_dim, 0.707);  // the number of config.json, not one near it
  EXPECT_FALSE(config->moe.norm_topk || config->moe.has_bias);
  m.u32("deepseek2.expert_count", 160);
  EXPECT_EQ(m.parse()->moe.n_group, 8);
  EXPECT_EQ(m.parse()->moe.topk_group, 3);
  EXPECT_EQ(m.parse()->moe.group_method, GroupMethod::kGroupLimited);
  m.u32("deepseek2.expert_count", 256).u32("deepseek2.expert_gating_func", 2);
  EXPECT_EQ(m.parse()->moe.topk_group, 4);
}

TEST(ModelConfigGguf, OtherFamiliesAndRotarySettings) {
  Metadata m = common("qwen3");
  m.u32("qwen3.attention.head_count_kv", 2)
      .u32("qwen3.attention.key_length", 32)
      .u32("qwen3.attention.value_length", 32);
  const auto qwen = m.parse();
  ASSERT_TRUE(qwen.ok()) << message_of(qwen);
  EXPECT_TRUE(qwen->qk_norm && !qwen->qkv_bias && !qwen->rope.interleaved);
  EXPECT_EQ(qwen->head_dim, 32);
  m.text("qwen3.rope.scaling.type", "yarn")
      .f32("qwen3.rope.scaling.factor", 4)
      .u32("qwen3.rope.scaling.original_context_length", 1024);
  EXPECT_DOUBLE_EQ(yarn_attention_factor(m.parse()->rope), 1.138629436111989);

  Metadata llama = common("llama");
  llama.u32("llama.embedding_length", 16);
  llama.tensors = {"rope_freqs.weight", "blk.0.attn_q.bias"};  // [2]: heads of 4
  const auto config = llama.parse();
  ASSERT_TRUE(config.ok()) << message_of(config);
  EXPECT_EQ(config->rope.kind, RopeKind::kDivisors);
  EXPECT_TRUE(config->qkv_bias);
  llama.u32("llama.embedding_length", 64);
  expect_error(llama.parse(), Code::kCorrupt, {"rope_freqs.weight", "8 f32"});
  llama.tensors = {"rope_factors_long.weight"};
  expect_error(llama.parse(), Code::kUnsupported, {"longrope"});
}

// Every key that is read, with another type and with values that no model has.
TEST(ModelConfigGguf, EveryKeyOfAWrongTypeOrValue) {
  const std::vector<std::string> unread = {"deepseek2.attention.head_count_kv", "deepseek2.attention.key_length",
                                           "deepseek2.attention.value_length"};
  for (const Metadata& good : {deepseek2(), common("llama")}) {
    ASSERT_TRUE(good.parse().ok()) << message_of(good.parse());
    for (const auto& [key, bytes] : good.values) {
      if (std::find(unread.begin(), unread.end(), key) != unread.end()) continue;
      SCOPED_TRACE(key);
      constexpr char kText = 8, kFloat = 6, kUnsigned = 4;
      Metadata changed = good;
      if (bytes[0] == kText) {
        expect_error(changed.u32(key, 1).parse(), Code::kCorrupt, {key, "type u32", "a string was wanted"});
        continue;
      }
      expect_error(changed.text(key, "1").parse(), Code::kCorrupt, {key, "type string"});
      if (bytes[0] == kUnsigned) {
        expect_error(changed.set<uint64_t>(key, 10, uint64_t{1} << 63).parse(), Code::kCorrupt, {key, "above 2^63"});
        expect_error(changed.set<int32_t>(key, 5, -2).parse(), Code::kCorrupt, {key, "-2"});
        expect_error(changed.set<uint32_t>(key, 4, ~0u).parse(), Code::kCorrupt, {key, "4294967295"});
        expect_error(changed.f32(key, 1).parse(), Code::kCorrupt, {key, "type f32"});
      } else if (bytes[0] == kFloat) {
        expect_error(changed.f32(key, NAN).parse(), Code::kCorrupt, {key, "finite"});
        EXPECT_FALSE(changed.f32(key, -1.0f).parse().ok());
      }
    }
  }
}

// llama.cpp's converter writes some keys as one value for each layer.
TEST(ModelConfigGguf, ArraysOfOneValueALayer) {
  const auto array = [](std::initializer_list<int32_t> values, uint32_t type = 5) {
    std::string bytes;
    append<uint32_t>(&bytes, 9);
    append<uint32_t>(&bytes, type);
    append<uint64_t>(&bytes, values.size());
    for (const int32_t value : values) append(&bytes, value);
    return bytes;
  };
  for (const std::string name : {"attention.head_count", "attention.head_count_kv", "feed_forward_length",
                                 "attention.key_length", "rope.dimension_count"}) {
    SCOPED_TRACE(name);
    const std::string key = "llama." + name;
    const auto with = [&](const std::string& bytes) { return common("llama").put(key, bytes).parse(); };
    for (const int32_t n : {2, 4}) {
      const auto one = common("llama").u32(key, static_cast<uint32_t>(n)).parse();
      const auto all = with(array({n, n, n}));
      ASSERT_EQ(all.ok(), one.ok()) << message_of(all) << message_of(one);
      if (!one.ok()) continue;  // these widths do not go together, and say so either way
      EXPECT_EQ(all->heads, one->heads);
      EXPECT_EQ(all->kv_heads, one->kv_heads);
      EXPECT_EQ(all->ffn, one->ffn);
      EXPECT_EQ(all->head_dim, one->head_dim);
    }
    expect_error(with(array({4, 4, 2})), Code::kUnsupported, {key, "4 in layer 0 and 2 in layer 2", "every layer"});
    expect_error(with(array({0, 4, 4})), Code::kUnsupported, {key, "0 in layer 0 and 4 in layer 1"});
    expect_error(with(array({0, 0, 0})), Code::kCorrupt, {key, "0 in every layer", "an integer from 1"});
    for (const auto& values : {array({4, 4}), array({4, 4, 4, 4}), array({})}) {
      expect_error(with(values), Code::kCorrupt, {key, "one for each of the 3 layers"});
    }
    expect_error(with(array({1, 1, 1}, 6)), Code::kCorrupt, {key, "an array of 3 f32"});
  }
  const auto all = common("llama").put("llama.attention.head_count_kv", array({2, 2, 2})).parse();
  ASSERT_TRUE(all.ok()) << message_of(all);
  EXPECT_EQ(all->kv_heads, 2);
  expect_error(common("llama").put("llama.rope.freq_base", array({1, 1, 1}, 6)).parse(), Code::kUnsupported,
               {"llama.rope.freq_base", "an array"});
  // Prediction layers count.
  Metadata mtp = deepseek2();
  mtp.u32("deepseek2.nextn_predict_layers", 1);
  EXPECT_TRUE(mtp.put("deepseek2.feed_forward_length", array({96, 96, 96})).parse().ok());
}

TEST(ModelConfigGguf, RefusedByName) {
  expect_error(common("gemma").parse(), Code::kUnsupported, {"general.architecture", "\"gemma\"", "deepseek2"});
  expect_error(common("llama").u32("llama.expert_count", 8).parse(), Code::kUnsupported, {"llama.expert_count"});
  expect_error(common("llama").u32("llama.attention.sliding_window", 8).parse(), Code::kUnsupported,
               {"sliding_window"});
  expect_error(common("llama").u32("llama.rope.dimension_count", 8).parse(), Code::kUnsupported,
               {"rope.dimension_count' is 8", "16, all of a head"});
  expect_error(common("llama").text("llama.rope.scaling.type", "longrope").parse(), Code::kUnsupported,
               {"\"longrope\""});
  expect_error(common("llama").f32("llama.rope.scaling.attn_factor", 2).parse(), Code::kUnsupported, {"attn_factor"});
  expect_error(deepseek2().u32("deepseek2.expert_gating_func", 4).parse(), Code::kUnsupported, {"expert_gating_func"});
  expect_error(common("llama").u32("llama.nextn_predict_layers", 1).parse(), Code::kCorrupt,
               {"num_nextn_predict_layers is 1, an integer from 0 to 0"});
  expect_error(common("llama").drop("llama.block_count").parse(), Code::kCorrupt, {"'llama.block_count' is missing"});
  Metadata none;
  expect_error(none.parse(), Code::kCorrupt, {"general.architecture"});
}

// --- generation_config.json ---------------------------------------------------------------------------------------

TEST(GenerationConfig, ReadsAndChecks) {
  const auto config = parse_generation_config(
      as_bytes(
          R"({"do_sample": true, "temperature": 0.6, "top_k": 20, "top_p": 0.95, "min_p": 0, "repetition_penalty": 1.05,
                   "eos_token_id": [1, 2], "bos_token_id": 0, "pad_token_id": null, "transformers_version": "4"})"),
      "g");
  ASSERT_TRUE(config.ok()) << message_of(config);
  EXPECT_EQ(config->temperature, 0.6);
  EXPECT_EQ(config->top_k, 20);
  EXPECT_EQ(config->eos_ids, (std::vector<int32_t>{1, 2}));
  EXPECT_EQ(config->bos_ids, std::vector<int32_t>{0});
  EXPECT_EQ(config->do_sample, true);
  EXPECT_FALSE(config->pad_id.has_value());
  EXPECT_FALSE(parse_generation_config(as_bytes("{}"), "g")->temperature.has_value());
  for (const std::string_view bad : {R"({"temperature": -1})", R"({"temperature": "0"})", R"({"top_k": -1})",
                                     R"({"top_p": 1.5})", R"({"min_p": -0.1})", R"({"repetition_penalty": 0})",
                                     R"({"eos_token_id": "x"})", R"({"do_sample": 1})", "[]", ""}) {
    expect_error(parse_generation_config(as_bytes(bad), "gen.json"), Code::kCorrupt, {"gen.json"});
  }
  const TempFolder folder;
  EXPECT_TRUE(read_generation_config(folder.path()).ok());  // none is fine
  folder.write("generation_config.json", "{");
  EXPECT_FALSE(read_generation_config(folder.path()).ok());
  EXPECT_EQ(read_model_config(folder.path()).error().code, Code::kNotFound);
}

}  // namespace
}  // namespace naru::formats
