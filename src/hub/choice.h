// Which files of a repository make a model that naru reads, and under which names they are kept.
#pragma once

#include <span>
#include <string>

#include "base/result.h"
#include "hub/listing.h"
#include "hub/manifest.h"
#include "hub/name.h"

namespace naru::hub {

struct Choice {
  PulledKind kind = PulledKind::kSafetensors;
  std::vector<PulledFile> files;
  bool has_shards = false;  // the index is among them, and the shards that it names are to be added
};

// A folder in safetensors form where the repository has one (weights, config, tokenizer, chat templates, licence), else
// its one .gguf file, else an adapter. With name.file that .gguf file. What cannot be run, and a choice that is the
// user's, are errors that say what there is.
Result<Choice> choose_files(const ModelName& name, const Listing& listing);

// Adds the files that the index names.
Status add_shards(std::span<const std::string> shards, const Listing& listing, Choice* choice);

}  // namespace naru::hub
