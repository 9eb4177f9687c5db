// Adapters (LoRA): low-rank parameters beside chosen matrices, W + scale * B A. Names follow the custom of PEFT:
// "model.layers.0.self_attn.q_proj.lora_A.weight". A is drawn, B begins at zero, so an untrained adapter changes
// nothing.
#pragma once

#include <string>
#include <vector>

#include "formats/adapter_config.h"
#include "models/parameters.h"
#include "recipes/recipe.h"

namespace naru::train {

// The parts that `lora.targets` means, of a model with such parameters: "all" spelt out, each once in their order.
std::vector<std::string> chosen_targets(const recipes::LoraRecipe& lora,
                                        const std::vector<models::Parameter>& parameters);

// What PEFT is told of them; its targets are chosen_targets().
formats::AdapterConfig adapter_config(const recipes::LoraRecipe& lora,
                                      const std::vector<models::Parameter>& parameters);

// Appends A and B of every matrix that `lora.targets` chooses by the last part of its name. A target that chooses
// nothing, or a matrix that cannot have an adapter (experts, kv_b), is an error that lists what can.
Status list_adapters(const recipes::LoraRecipe& lora, std::vector<models::Parameter>& parameters);

// "model...q_proj" of either of its adapter's names, and "model...q_proj.weight".
std::string adapted_module(const std::string& adapter_name);
std::string adapted_name(const std::string& adapter_name);

// First values: A uniform in +-sqrt(3 / inputs) by counter (purpose kInit), B zero.
void draw_adapter(const models::Parameter& parameter, int64_t index, uint64_t seed, float* out);

}  // namespace naru::train
