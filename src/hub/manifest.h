// naru-pull.json, which lies in the folder of every pulled model: where its files came from, at which commit, and the
// size and hash of each. It is written first and says so (`pulled` is missing) until all files are there and checked.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "hub/listing.h"

namespace naru::hub {

inline constexpr std::string_view kPullManifestName = "naru-pull.json";
inline constexpr int64_t kPullManifestBytesMax = 16ll << 20;  // bytes of a manifest
inline constexpr int64_t kPulledFilesMax = 20000;             // files of one model

// What a pulled model is.
enum class PulledKind : uint8_t { kSafetensors, kGguf, kAdapter };
std::string_view kind_name(PulledKind kind);

struct PulledFile {
  std::string name;  // in the folder: is_safe_path
  HubFile source;    // path in the repository, size and hash; all of them said
};

struct PullManifest {
  std::string model;     // as it was typed: ModelName::text()
  std::string endpoint;  // of the hub, or the registry and package
  std::string commit;
  PulledKind kind = PulledKind::kSafetensors;
  std::string pulled;  // "2026-11-25T10:20:05Z"; empty: not all is there yet
  std::vector<PulledFile> files;

  int64_t bytes() const;
  const PulledFile* find(std::string_view name) const;
};

std::string pull_manifest_text(const PullManifest& manifest);
Result<PullManifest> parse_pull_manifest(Bytes json, std::string_view document);

}  // namespace naru::hub
