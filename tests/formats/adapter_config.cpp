// adapter_config.json as PEFT writes it, and every option that would change the arithmetic refused by name.
#include "formats/adapter_config.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "tests/formats/helpers.h"

namespace naru::formats {
namespace {

using Json = nlohmann::json;

// What PEFT 0.21 writes for a plain adapter.
Json plain() {
  return Json::parse(R"({
    "alora_invocation_tokens": null, "alpha_pattern": {}, "arrow_config": null, "auto_mapping": null,
    "base_model_name_or_path": "HuggingFaceTB/SmolLM2-135M-Instruct", "bias": "none", "corda_config": null,
    "ensure_weight_tying": false, "eva_config": null, "exclude_modules": null, "fan_in_fan_out": false,
    "inference_mode": true, "init_lora_weights": true, "layer_replication": null, "layers_pattern": null,
    "layers_to_transform": null, "loftq_config": {}, "lora_alpha": 32, "lora_bias": false, "lora_dropout": 0.05,
    "megatron_config": null, "megatron_core": "megatron.core", "modules_to_save": null, "peft_type": "LORA",
    "qalora_group_size": 16, "r": 16, "rank_pattern": {}, "revision": null, "target_modules": ["v_proj", "q_proj"],
    "target_parameters": null, "task_type": "CAUSAL_LM", "trainable_token_indices": null, "use_dora": false,
    "use_qalora": false, "use_rslora": false})");
}

Result<AdapterConfig> parse_adapter(const Json& config) {
  const std::string text = config.dump();
  return parse_adapter_config(as_bytes(text), "adapter_config.json");
}

TEST(AdapterConfig, AsPeftWritesIt) {
  const auto config = parse_adapter(plain());
  ASSERT_TRUE(config.ok()) << config.error().message;
  EXPECT_EQ(config->rank, 16);
  EXPECT_EQ(config->alpha, 32);
  EXPECT_EQ(config->scale(), 2.0f);
  EXPECT_EQ(config->targets, (std::vector<std::string>{"v_proj", "q_proj"}));
  Json other = plain();
  other["use_rslora"] = true;
  EXPECT_EQ(parse_adapter(other)->scale(), 8.0f);
  other["target_modules"] = "all-linear";
  EXPECT_TRUE(parse_adapter(other)->targets.empty());
  for (const Json& init : {Json(false), Json("gaussian"), Json("eva"), Json("orthogonal"), Json(nullptr)}) {
    other["init_lora_weights"] = init;
    EXPECT_TRUE(parse_adapter(other).ok()) << init;
  }
}

TEST(AdapterConfig, WrittenAndReadAgain) {
  const AdapterConfig config{.rank = 3, .alpha = 7.25, .is_rank_stabilised = true, .targets = {"o_proj", "down_proj"}};
  const auto again = parse_adapter(Json::parse(adapter_config_json(config, "a \"model\"")));
  ASSERT_TRUE(again.ok()) << again.error().message;
  EXPECT_EQ(again->rank, 3);
  EXPECT_EQ(again->scale(), config.scale());
  EXPECT_EQ(again->targets, config.targets);
  EXPECT_EQ(Json::parse(adapter_config_json(config, "a \"model\""))["base_model_name_or_path"], "a \"model\"");
}

TEST(AdapterConfig, OptionsThatAreNotDoneAreRefusedByName) {
  const auto expect = [](const char* key, const Json& value, Code code) {
    Json config = plain();
    config[key] = value;
    const auto parsed = parse_adapter(config);
    ASSERT_FALSE(parsed.ok()) << key << " " << value;
    EXPECT_EQ(parsed.error().code, code) << parsed.error().message;
    EXPECT_NE(parsed.error().message.find(key), std::string::npos) << parsed.error().message;
    if (code == Code::kUnsupported) {
      EXPECT_NE(parsed.error().message.find("merge_and_unload"), std::string::npos) << parsed.error().message;
    }
  };
  for (const char* key : {"use_dora", "use_qalora", "lora_bias", "fan_in_fan_out"}) {
    expect(key, true, Code::kUnsupported);
  }
  expect("bias", "all", Code::kUnsupported);
  expect("modules_to_save", {"lm_head"}, Code::kUnsupported);
  expect("rank_pattern", {{"q_proj", 8}}, Code::kUnsupported);
  expect("alpha_pattern", {{"q_proj", 8}}, Code::kUnsupported);
  expect("layer_replication", {{0, 4}, {2, 5}}, Code::kUnsupported);
  expect("trainable_token_indices", {1, 2}, Code::kUnsupported);
  expect("target_parameters", {"mlp.experts.gate_up_proj"}, Code::kUnsupported);
  expect("alora_invocation_tokens", {1}, Code::kUnsupported);
  expect("kasa_config", {{"beta", 0.1}}, Code::kUnsupported);
  expect("use_bdlora", {{"nblocks", 2}}, Code::kUnsupported);
  for (const char* init : {"pissa", "pissa_niter_4", "olora", "corda", "loftq", "mica"}) {
    expect("init_lora_weights", init, Code::kUnsupported);
  }
  expect("peft_type", "IA3", Code::kUnsupported);
  expect("peft_type", 3, Code::kCorrupt);
  for (const Json& rank : {Json(0), Json(-1), Json(65537), Json(1.5), Json("16"), Json(nullptr)}) {
    expect("r", rank, Code::kCorrupt);
  }
  for (const Json& alpha : {Json("1"), Json(nullptr), Json(1e7)}) expect("lora_alpha", alpha, Code::kCorrupt);
  expect("target_modules", {1}, Code::kCorrupt);
  expect("target_modules", {""}, Code::kCorrupt);
  expect("target_modules", 7, Code::kCorrupt);
  expect("use_rslora", "yes", Code::kCorrupt);
}

TEST(AdapterConfig, EveryCutAndChangedByteIsAMessageOrAConfig) {
  const std::string text = plain().dump();
  for (size_t i = 0; i < text.size(); ++i) {
    std::string cut = text.substr(0, i), changed = text;
    changed[i] = static_cast<char>(changed[i] ^ 0x15);
    EXPECT_FALSE(parse_adapter_config(as_bytes(cut), "c").ok());
    const auto parsed = parse_adapter_config(as_bytes(changed), "c");
    if (parsed.ok()) {
      EXPECT_TRUE(std::isfinite(parsed->scale()));
    } else {
      EXPECT_GT(parsed.error().message.size(), 20u);
    }
  }
}

}  // namespace
}  // namespace naru::formats
