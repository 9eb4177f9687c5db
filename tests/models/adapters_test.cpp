// Adapters of PEFT's whose files lie, or that belong to another model: refused with the tensor and what to do.
#include "models/adapters.h"

#include <stdlib.h>

#include <functional>

#include "chips/reference/reference_chip.h"
#include "formats/safetensors_writer.h"
#include "models/families.h"
#include "tests/models/harness.h"

namespace naru::models {
namespace {

namespace fs = std::filesystem;

struct FakeTensor {
  std::string name;
  std::vector<int64_t> shape;
  DType dtype = DType::kF32;
};

// A folder with an adapter, which a test may spoil.
class Folder {
 public:
  Folder() {
    std::string pattern = (fs::temp_directory_path() / "naru-adapter-XXXXXX").string();
    path_ = ::mkdtemp(pattern.data());
    config = {{"peft_type", "LORA"}, {"r", 2}, {"lora_alpha", 4}, {"target_modules", {"q_proj"}}};
  }
  ~Folder() { fs::remove_all(path_); }
  const fs::path& path() const { return path_; }

  void add(const std::string& module, int64_t outputs, int64_t inputs) {
    const std::string stem = std::string(kPeftPrefix) + module;
    tensors.push_back({stem + ".lora_A.weight", {2, inputs}});
    tensors.push_back({stem + ".lora_B.weight", {outputs, 2}});
  }
  void write() const {
    std::ofstream(path_ / "adapter_config.json") << config;
    formats::SafetensorsWriter writer;
    for (const FakeTensor& tensor : tensors)
      ASSERT_TRUE(writer.add_tensor(tensor.name, tensor.dtype, tensor.shape).ok());
    ASSERT_TRUE(writer.begin(path_ / "adapter_model.safetensors").ok());
    const std::vector<std::byte> zeros(static_cast<size_t>(writer.data_bytes()));
    ASSERT_TRUE(writer.write(zeros).ok());
    ASSERT_TRUE(writer.finish().ok());
  }

  nlohmann::json config;
  std::vector<FakeTensor> tensors;

 private:
  fs::path path_;
};

// The message of planning the fixture with the adapter; "" where it is accepted.
std::string message_of(const std::string& fixture, const Folder& folder) {
  auto files = open_model_files(fixture_model(fixture));
  EXPECT_TRUE(files.ok());
  auto adapter = open_adapter(folder.path());
  if (!adapter.ok()) return adapter.error().message;
  files->adapter = std::move(*adapter);
  const auto chip = reference::make_reference_chip();
  const auto plan = plan_model(*files, *chip, {});
  if (!plan.ok()) return plan.error().message;
  // The plan runs with it.
  EXPECT_GT(plan->workspace_bytes(8, 1).value(), 0);
  return "";
}

constexpr const char* kQ = "model.layers.0.self_attn.q_proj";

formats::ModelConfig config_of(const std::string& fixture) {
  return open_model_files(fixture_model(fixture))->config;
}

TEST(Adapters, OneThatFitsIsAccepted) {
  const auto config = config_of("llama-gqa");
  Folder folder;
  folder.add(kQ, config.heads * config.head_dim, config.hidden);
  folder.add("model.layers.1.self_attn.q_proj", config.heads * config.head_dim, config.hidden);
  folder.write();
  EXPECT_EQ(message_of("llama-gqa", folder), "");
  folder.config["target_modules"] = ".*q_proj";
  folder.write();
  EXPECT_EQ(message_of("llama-gqa", folder), "");
}

TEST(Adapters, WhatDoesNotFitIsNamed) {
  const auto config = config_of("llama-gqa");
  const int64_t q = config.heads * config.head_dim, width = config.hidden;
  const auto expect = [&](const char* part, const std::function<void(Folder&)>& spoil) {
    Folder folder;
    folder.add(kQ, q, width);
    spoil(folder);
    folder.write();
    const std::string message = message_of("llama-gqa", folder);
    EXPECT_NE(message.find(part), std::string::npos) << message;
  };
  expect("[2, 33]", [&](Folder& f) { f.tensors[0].shape = {2, width + 1}; });
  expect("lora_B.weight' has the shape", [&](Folder& f) { f.tensors[1].shape = {q - 1, 2}; });
  expect("lora_B.weight' has the shape", [&](Folder& f) { f.tensors[1].shape = {q * 2}; });
  expect("lora_B.weight' has the shape", [&](Folder& f) { f.tensors[1].shape = {}; });
  expect("rank 3", [](Folder& f) { f.config["r"] = 3; });
  expect("stored as i32", [](Folder& f) { f.tensors[0].dtype = DType::kI32; });
  expect("not the other", [](Folder& f) { f.tensors.pop_back(); });
  expect("not the other", [](Folder& f) { f.tensors.erase(f.tensors.begin()); });
  expect("has no tensors", [](Folder& f) { f.tensors.clear(); });
  expect("names 'v_proj'", [](Folder& f) { f.config["target_modules"] = {"q_proj", "v_proj"}; });
  expect("cannot have an adapter in this model", [](Folder& f) { f.add("lm_head", 97, 64); });
  expect("cannot have an adapter in this model", [](Folder& f) { f.add("model.embed_tokens", 97, 64); });
  expect("a llama model has not", [](Folder& f) { f.add("model.layers.0.self_attn.c_attn", 64, 64); });
  expect("'model.layers.99.self_attn.q_proj'", [&](Folder& f) { f.add("model.layers.99.self_attn.q_proj", q, width); });
  expect("a llama model has not", [&](Folder& f) { f.add("model.layers.-1.self_attn.q_proj", q, width); });
  expect("is no part of a LoRA module", [](Folder& f) { f.tensors.push_back({"model.layers.0.x", {2}}); });
  expect("is no part of a LoRA module", [](Folder& f) {
    f.tensors.push_back({"base_model.model.model.layers.0.self_attn.q_proj.lora_magnitude_vector", {2}});
  });
  expect("is no part of a LoRA module", [](Folder& f) {
    f.tensors.push_back({"base_model.model.model.embed_tokens.lora_embedding_A", {2, 2}});
  });
}

TEST(Adapters, OfExpertsAndLatentAttention) {
  const auto config = config_of("v3-qlora");
  const auto expect = [&](const char* part, const std::string& module, int64_t outputs, int64_t inputs) {
    Folder folder;
    folder.config["target_modules"] = module.substr(module.rfind('.') + 1);
    folder.add(module, outputs, inputs);
    folder.write();
    const std::string message = message_of("v3-qlora", folder);
    if (std::string(part).empty()) {
      EXPECT_EQ(message, "") << module;
    } else {
      EXPECT_NE(message.find(part), std::string::npos) << message;
    }
  };
  const int64_t q_rows = config.heads * (config.mla.qk_nope_head_dim + config.mla.qk_rope_head_dim);
  const std::string last = "model.layers." + std::to_string(config.layers - 1);
  expect("", last + ".self_attn.q_a_proj", config.mla.q_lora_rank, config.hidden);
  expect("", last + ".self_attn.q_b_proj", q_rows, config.mla.q_lora_rank);
  expect("", last + ".self_attn.o_proj", config.hidden, config.heads * config.mla.v_head_dim);
  expect("", last + ".mlp.shared_experts.up_proj", config.moe.shared_experts * config.moe.ffn, config.hidden);
  expect("cannot have an adapter", last + ".self_attn.q_proj", q_rows, config.hidden);
  expect("cannot have an adapter", last + ".self_attn.kv_b_proj", 8, 8);
  expect("cannot have an adapter", last + ".mlp.experts.0.up_proj", config.moe.ffn, config.hidden);
  expect("cannot have an adapter", last + ".mlp.gate", config.moe.experts, config.hidden);
}

TEST(Adapters, FilesThatAreMissingOrCut) {
  Folder folder;
  EXPECT_NE(open_adapter(folder.path() / "none").error().message.find("no such folder"), std::string::npos);
  EXPECT_NE(open_adapter(folder.path()).error().message.find("no adapter_config.json"), std::string::npos);
  std::ofstream(folder.path() / "adapter_config.json") << folder.config;
  EXPECT_NE(open_adapter(folder.path()).error().message.find("no adapter_model.safetensors"), std::string::npos);
  std::ofstream(folder.path() / "adapter_model.bin") << "pickle";
  EXPECT_NE(open_adapter(folder.path()).error().message.find("safe_serialization"), std::string::npos);
  folder.add(kQ, 64, 64);
  folder.write();
  const fs::path weights = folder.path() / "adapter_model.safetensors";
  const auto whole = fs::file_size(weights);
  for (uintmax_t n = 0; n < whole; n += 7) {
    fs::resize_file(weights, n);
    EXPECT_FALSE(open_adapter(folder.path()).ok()) << n;
    folder.write();
  }
}

}  // namespace
}  // namespace naru::models
