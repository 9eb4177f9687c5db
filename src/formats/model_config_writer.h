// ModelConfig to config.json, in the dialect that every reader accepts: rope_theta and rope_scaling apart, torch_dtype,
// one architecture of the official classes. What parse_model_config() reads of it means the same model.
#pragma once

#include <string>

#include "base/result.h"
#include "formats/generation_config.h"
#include "formats/model_config.h"

namespace naru::formats {

// The class that loads a family: "LlamaForCausalLM", "DeepseekV3ForCausalLM", ...
std::string_view architecture_name(Family family);

// kUnsupported, by name, where config.json has no word for something of the model. For configs of Hugging Face layout
// (row orders undone, no FP8 blocks: models/parameters.h, plain_config).
Result<std::string> model_config_json(const ModelConfig& config);

// generation_config.json: what the makers advise, and the ids that end an answer.
std::string generation_config_json(const ModelConfig& config, const GenerationConfig& advice);

}  // namespace naru::formats
