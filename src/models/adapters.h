// Adapters: low-rank parts (LoRA, nn::Adapter) beside a decoder's matrices: which matrices can have one, and how PEFT's
// files become one. They are applied as they are, W x + scale * B (A x), never merged into W.
#pragma once

#include <filesystem>
#include <string_view>

#include "formats/adapter_config.h"
#include "formats/model_config.h"
#include "formats/tensor_file.h"
#include "models/decoder.h"
#include "models/parameters.h"

namespace naru::models {

// Whether an adapter can stand beside a parameter: a matrix of a layer, but none of those that a layer issues with
// others in one op (experts, kv_b).
bool can_adapt(const Parameter& parameter);
// "q_proj" of "model.layers.0.self_attn.q_proj.weight"; empty for what is no weight.
std::string_view last_part(std::string_view parameter_name);
// Those of all families' parameters that can have an adapter, each once.
std::vector<std::string_view> adaptable_parts();
// Of a parameter's Hugging Face name: the matrix beside which an adapter can stand. Null for all others, for those of
// the prediction layers, and for names that the decoder has not.
nn::Linear* adaptable_linear(Decoder& decoder, formats::Family family, std::string_view parameter_name);

// Before the name of a module of ours in PEFT's files:
// "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight".
inline constexpr std::string_view kPeftPrefix = "base_model.model.";
// Behind it, in the place of a parameter's kWeight.
inline constexpr std::string_view kLoraA = ".lora_A.weight";
inline constexpr std::string_view kLoraB = ".lora_B.weight";
inline constexpr std::string_view kWeight = ".weight";

// A folder with adapter_config.json and adapter_model.safetensors.
struct AdapterFiles {
  std::filesystem::path folder;
  formats::AdapterConfig config;
  formats::TensorFiles tensors;
};
// Checks what the files say of themselves.
Result<AdapterFiles> open_adapter(const std::filesystem::path& folder);

// Puts the parts beside the matrices of `decoder`, which has none yet; its shape alone on a planner. Every tensor of
// the files must find its place and fit it, and every module that the config names must be there. Returns the bytes
// that the parts take on the chip.
Result<int64_t> attach_adapter(const AdapterFiles& files, formats::Family family, contract::ComputeMode compute,
                               contract::Chip& chip, Decoder& decoder);

}  // namespace naru::models
