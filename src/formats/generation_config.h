// GenerationConfig: what the makers of a model advise for sampling and call the ends of an answer, as
// generation_config.json or the keys general.sampling.* of a GGUF file say it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"

namespace naru::formats {

class GgufIndex;
class GgufWriter;
class TensorFiles;

// Every field as absent as in the file.
struct GenerationConfig {
  std::optional<bool> do_sample;
  std::optional<double> temperature;         // >= 0
  std::optional<int64_t> top_k;              // >= 0; 0: off
  std::optional<double> top_p;               // in [0, 1]; 0: the likeliest token alone
  std::optional<double> min_p;               // in [0, 1]
  std::optional<double> repetition_penalty;  // > 0
  std::vector<int32_t> bos_ids;
  std::vector<int32_t> eos_ids;
  std::optional<int32_t> pad_id;

  // Whether it says how tokens are chosen.
  bool advises_sampling() const { return do_sample || temperature || top_k || top_p || min_p; }
};

Result<GenerationConfig> parse_generation_config(Bytes json, std::string_view name);

// folder/generation_config.json; a folder without one gives an empty struct.
Result<GenerationConfig> read_generation_config(const std::filesystem::path& folder);

// general.sampling.temp, top_k, top_p, min_p, penalty_repeat; a file without them gives an empty struct.
Result<GenerationConfig> generation_config_of(const GgufIndex& index);

// Of a model's files: of a GGUF file its keys, else the folder's file.
Result<GenerationConfig> generation_config_of(const TensorFiles& files);

// The keys of a GGUF file; greedy advice is a temperature of 0.
void add_generation_config(const GenerationConfig& advice, GgufWriter& writer);

}  // namespace naru::formats
