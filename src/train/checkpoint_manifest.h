// manifest.json of a checkpoint: which files it has, their sizes and SHA-256, and the trainer's state. It carries the
// SHA-256 of itself (of its JSON without that field, compact, keys sorted), so that no flipped byte goes unseen. Every
// version keeps that digest: a manifest of a later one is told from a damaged one by it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"

namespace naru::train {

inline constexpr int64_t kManifestBytesMax = 16ll << 20;  // bytes of a checkpoint's manifest.json
inline constexpr int64_t kCheckpointFilesMax = 1000;      // files in one checkpoint
inline constexpr std::string_view kManifestName = "manifest.json";

struct CheckpointFile {
  std::string name;  // a plain file name that ends in ".safetensors"
  int64_t bytes = 0;
  std::string sha256;  // 64 lower-case hex digits
};

struct CheckpointManifest {
  int64_t step = 0;
  std::vector<CheckpointFile> files;
  std::string state_json;  // a JSON object
};

// Lower-case letters, digits, '.', '_', '-', not '.' first, ending in ".safetensors": names no other folder.
bool is_checkpoint_file_name(std::string_view name);

// kInvalidArgument where the state is no JSON object.
Result<std::string> manifest_text(const CheckpointManifest& manifest);

// Pure; `name` only appears in messages.
Result<CheckpointManifest> parse_manifest(Bytes json, std::string_view name);

}  // namespace naru::train
