#include "hub/manifest.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <set>

#include "base/checked.h"
#include "formats/json.h"
#include "hub/name.h"

namespace naru::hub {
namespace {

using formats::JsonObject;

constexpr int64_t kVersion = 1;
constexpr std::string_view kPullAgain = "remove that folder and pull the model again";
constexpr std::array kKinds = {PulledKind::kSafetensors, PulledKind::kGguf, PulledKind::kAdapter};

Result<PulledKind> read_kind(const JsonObject& root) {
  NARU_ASSIGN(const std::string word, root.get_string("kind"));
  for (const PulledKind kind : kKinds) {
    if (word == kind_name(kind)) return kind;
  }
  return root.wrong(Code::kUnsupported, "kind", formats::json_quoted(word.substr(0, 100)),
                    "safetensors, gguf or adapter", "a later naru may have written it");
}

Result<PulledFile> read_entry(const nlohmann::json& value, std::string_view document, size_t i) {
  NARU_ASSIGN(const JsonObject entry, JsonObject::of(value, document, fmt::format("files[{}]", i)));
  PulledFile file;
  NARU_ASSIGN(file.name, entry.get_string("name"));
  NARU_ASSIGN(file.source.path, entry.get_string_or("path", file.name));
  for (const auto& [key, path] : {std::pair("name", &file.name), std::pair("path", &file.source.path)}) {
    if (is_safe_path(*path) && *path != kPullManifestName) continue;
    return entry.wrong(Code::kCorrupt, key, formats::json_quoted(path->substr(0, 300)), "a path inside the folder",
                       kPullAgain);
  }
  NARU_ASSIGN(file.source.bytes, entry.get_int("bytes", 0, kHubFileBytesMax));
  const bool is_large = entry.has("sha256");
  const std::string_view key = is_large ? "sha256" : "git_blob";
  file.source.hash.kind = is_large ? Digest::Kind::kSha256 : Digest::Kind::kSha1;
  NARU_ASSIGN(file.source.hash.hex, entry.get_string(key));
  if (is_hash(file.source.hash.hex, file.source.hash.kind)) return file;
  return entry.wrong(Code::kCorrupt, key, formats::json_quoted(file.source.hash.hex.substr(0, 100)),
                     fmt::format("a {}", hash_name(file.source.hash.kind)), kPullAgain);
}

}  // namespace

std::string_view kind_name(PulledKind kind) {
  switch (kind) {
    case PulledKind::kSafetensors: return "safetensors";
    case PulledKind::kGguf: return "gguf";
    case PulledKind::kAdapter: return "adapter";
  }
  return "";
}

int64_t PullManifest::bytes() const {
  int64_t sum = 0;  // kPulledFilesMax files of kHubFileBytesMax bytes would not fit; parsing refuses such a sum
  for (const PulledFile& file : files) sum = checked_add(sum, file.source.bytes).value_or(INT64_MAX);
  return sum;
}

const PulledFile* PullManifest::find(std::string_view name) const {
  const auto place = std::find_if(files.begin(), files.end(), [name](const PulledFile& f) { return f.name == name; });
  return place == files.end() ? nullptr : &*place;
}

std::string pull_manifest_text(const PullManifest& manifest) {
  nlohmann::ordered_json files = nlohmann::ordered_json::array();
  for (const PulledFile& file : manifest.files) {
    nlohmann::ordered_json entry = {{"name", file.name}};
    if (file.source.path != file.name) entry["path"] = file.source.path;
    entry["bytes"] = file.source.bytes;
    entry[file.source.hash.kind == Digest::Kind::kSha256 ? "sha256" : "git_blob"] = file.source.hash.hex;
    files.push_back(std::move(entry));
  }
  nlohmann::ordered_json root = {{"format", kVersion},
                                 {"model", manifest.model},
                                 {"endpoint", manifest.endpoint},
                                 {"commit", manifest.commit},
                                 {"kind", kind_name(manifest.kind)}};
  if (!manifest.pulled.empty()) root["pulled"] = manifest.pulled;
  root["files"] = std::move(files);
  return root.dump(1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

Result<PullManifest> parse_pull_manifest(Bytes json, std::string_view document) {
  NARU_ASSIGN(const nlohmann::json parsed, formats::parse_json(json, document, {.bytes_max = kPullManifestBytesMax}));
  NARU_ASSIGN(const JsonObject root, JsonObject::of(parsed, document));
  NARU_TRY(root.get_int("format", kVersion, kVersion));
  PullManifest manifest;
  NARU_ASSIGN(manifest.model, root.get_string("model"));
  NARU_ASSIGN(manifest.endpoint, root.get_string("endpoint"));
  NARU_ASSIGN(manifest.commit, root.get_string("commit"));
  NARU_ASSIGN(manifest.kind, read_kind(root));
  NARU_ASSIGN(manifest.pulled, root.get_string_or("pulled", ""));
  NARU_ASSIGN(const auto entries, root.find_array("files"));
  if (static_cast<int64_t>(entries.size()) > kPulledFilesMax) {
    return root.wrong(Code::kCorrupt, "files", fmt::format("a list of {} files", entries.size()),
                      fmt::format("at most {}", kPulledFilesMax), kPullAgain);
  }
  std::set<std::string> names;
  for (size_t i = 0; i < entries.size(); ++i) {
    NARU_ASSIGN(PulledFile file, read_entry(*entries[i], document, i));
    if (!names.insert(file.name).second) {
      return root.wrong(Code::kCorrupt, "files", fmt::format("{} twice", formats::json_quoted(file.name)),
                        "each file once", kPullAgain);
    }
    manifest.files.push_back(std::move(file));
  }
  if (manifest.bytes() == INT64_MAX) {
    return root.wrong(Code::kCorrupt, "files", "more bytes together than can be counted", "fewer", kPullAgain);
  }
  return manifest;
}

}  // namespace naru::hub
