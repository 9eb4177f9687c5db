#include "train/checkpoint_manifest.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>

#include "formats/json.h"
#include "formats/json_digest.h"
#include "formats/utf8.h"

namespace naru::train {
namespace {

using formats::compact;
using formats::is_sha256;
using formats::JsonObject;
using formats::own_digest;
using nlohmann::json;

constexpr std::string_view kFormat = "naru-checkpoint";
constexpr int64_t kVersion = 1;
constexpr std::string_view kNext = "the checkpoint is damaged; an older one may be whole";

Result<CheckpointFile> parse_file(const json& value, const JsonObject& root, size_t index) {
  const std::string path = fmt::format("files[{}]", index);
  NARU_ASSIGN(const JsonObject object, JsonObject::of(value, root.document(), path));
  CheckpointFile file;
  NARU_ASSIGN(file.name, object.get_string("name"));
  if (!is_checkpoint_file_name(file.name)) {
    return object.wrong(Code::kCorrupt, "name", fmt::format("\"{}\"", formats::printable(file.name)),
                        "the plain name of a .safetensors file in the same folder", kNext);
  }
  NARU_ASSIGN(file.bytes, object.get_int("bytes", 0, std::numeric_limits<int64_t>::max()));
  NARU_ASSIGN(file.sha256, object.get_string("sha256"));
  if (!is_sha256(file.sha256)) {
    return object.wrong(Code::kCorrupt, "sha256", "another text", "64 lower-case hex digits", kNext);
  }
  return file;
}

}  // namespace

bool is_checkpoint_file_name(std::string_view name) {
  constexpr std::string_view kEnding = ".safetensors";
  return name.size() > kEnding.size() && name.size() <= 255 && name[0] != '.' && name.ends_with(kEnding) &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
         });
}

Result<std::string> manifest_text(const CheckpointManifest& manifest) {
  NARU_ASSIGN(json state, formats::parse_json(as_bytes(manifest.state_json), "the state of a checkpoint",
                                              {.bytes_max = kManifestBytesMax}));
  json files = json::array();
  for (const CheckpointFile& file : manifest.files) {
    files.push_back({{"name", file.name}, {"bytes", file.bytes}, {"sha256", file.sha256}});
  }
  json document = {{"format", kFormat},
                   {"version", kVersion},
                   {"step", manifest.step},
                   {"files", std::move(files)},
                   {"state", std::move(state)}};
  document["sha256"] = own_digest(document);
  return compact(document) + "\n";
}

Result<CheckpointManifest> parse_manifest(Bytes text, std::string_view name) {
  NARU_ASSIGN(const json document, formats::parse_json(text, name, {.bytes_max = kManifestBytesMax}));
  NARU_ASSIGN(const JsonObject root, JsonObject::of(document, name));
  // The digest first: a byte that flipped in `format` or `version` is damage, and not another program's file.
  NARU_ASSIGN(const std::string digest, root.get_string_or("sha256", ""));
  if (!digest.empty() && digest != own_digest(document)) {
    return root.wrong(Code::kCorrupt, "sha256", "of other content", "the SHA-256 of the manifest itself", kNext);
  }
  NARU_ASSIGN(const std::string format, root.get_string_or("format", ""));
  if (format != kFormat) {
    return root.wrong(Code::kUnsupported, "format", fmt::format("\"{}\"", formats::printable(format)),
                      fmt::format("\"{}\"", kFormat),
                      "it is no checkpoint of naru's; give the folder of a run of naru");
  }
  NARU_ASSIGN(const int64_t version, root.get_int("version", 0, std::numeric_limits<int64_t>::max()));
  if (version != kVersion) {
    return root.wrong(Code::kUnsupported, "version", fmt::format("{}", version), fmt::format("{}", kVersion),
                      "go on with the version of naru that wrote it");
  }
  if (digest.empty())
    return root.wrong(Code::kCorrupt, "sha256", "missing", "the SHA-256 of the manifest itself", kNext);
  CheckpointManifest manifest;
  NARU_ASSIGN(manifest.step, root.get_int("step", 0, std::numeric_limits<int64_t>::max()));
  NARU_ASSIGN(const auto files, root.find_array("files"));
  if (files.empty() || static_cast<int64_t>(files.size()) > kCheckpointFilesMax) {
    return root.wrong(Code::kCorrupt, "files", fmt::format("a list of {}", files.size()),
                      fmt::format("1 to {} files", kCheckpointFilesMax), kNext);
  }
  std::set<std::string> names;
  for (size_t i = 0; i < files.size(); ++i) {
    NARU_ASSIGN(CheckpointFile file, parse_file(*files[i], root, i));
    if (!names.insert(file.name).second) {
      return root.wrong(Code::kCorrupt, "files", fmt::format("a list with {} twice", file.name), "each file once",
                        kNext);
    }
    manifest.files.push_back(std::move(file));
  }
  NARU_ASSIGN(const JsonObject state, root.get_object("state"));
  manifest.state_json = compact(state.value());
  return manifest;
}

}  // namespace naru::train
