// adapter_config.json: what PEFT says of a low-rank adapter (LoRA). What would change the arithmetic and is not done
// here is refused by name; what concerns training alone (dropout, first values) and what tensors say by themselves
// (which layers) is not read.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"

namespace naru::formats {

inline constexpr int64_t kAdapterRankMax = 65536;             // of a low-rank adapter
inline constexpr int64_t kAdapterConfigBytesMax = 4ll << 20;  // bytes of adapter_config.json

struct AdapterConfig {
  int64_t rank = 0;
  double alpha = 0;
  bool is_rank_stabilised = false;   // the scale is alpha / sqrt(rank) in the place of alpha / rank
  std::vector<std::string> targets;  // last parts of the names of adapted modules; empty where a pattern says which

  float scale() const;  // of B (A x); finite
};

Result<AdapterConfig> parse_adapter_config(Bytes json, std::string_view name);
// Of a folder; kNotFound where it has none.
Result<AdapterConfig> read_adapter_config(const std::filesystem::path& folder);

// The text of a file that PEFT reads. `base` is how it calls the model beside which the adapter stands.
std::string adapter_config_json(const AdapterConfig& config, const std::string& base);

}  // namespace naru::formats
