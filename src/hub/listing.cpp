#include "hub/listing.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "formats/json.h"
#include "formats/utf8.h"
#include "hub/name.h"

namespace naru::hub {
namespace {

using formats::JsonObject;

constexpr std::string_view kTryAgain = "try again, or another HF_ENDPOINT";
constexpr size_t kSha1Digits = 40;
constexpr size_t kSha256Digits = 64;

bool is_hex(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

// The hash of a large file stands under lfs; its blobId is that of the pointer.
Status read_hash(const JsonObject& entry, HubFile* file) {
  NARU_ASSIGN(const auto lfs, entry.find_object("lfs"));
  if (lfs) {
    NARU_ASSIGN(auto sha256, lfs->find_string("sha256"));
    if (!sha256) {
      NARU_ASSIGN(sha256, lfs->find_string("oid"));
    }
    NARU_ASSIGN(const auto bytes, lfs->find_int("size", 0, kHubFileBytesMax));
    if (bytes) file->bytes = *bytes;
    file->hash = {Digest::Kind::kSha256, sha256.value_or("")};
  } else {
    NARU_ASSIGN(const auto blob, entry.find_string("blobId"));
    file->hash = {Digest::Kind::kSha1, blob.value_or("")};
  }
  if (file->hash.hex.empty() || is_hash(file->hash.hex, file->hash.kind)) return {};
  return entry.wrong(Code::kCorrupt, lfs ? "lfs" : "blobId", formats::json_quoted(file->hash.hex.substr(0, 100)),
                     fmt::format("a {}", hash_name(file->hash.kind)), kTryAgain);
}

Result<HubFile> read_file_entry(const nlohmann::json& value, std::string_view document, size_t i) {
  NARU_ASSIGN(const JsonObject entry, JsonObject::of(value, document, fmt::format("siblings[{}]", i)));
  HubFile file;
  NARU_ASSIGN(file.path, entry.get_string("rfilename"));
  if (!is_safe_path(file.path)) {
    return entry.wrong(Code::kCorrupt, "rfilename", formats::json_quoted(file.path.substr(0, 300)),
                       "a path inside the repository", "this repository is not to be trusted");
  }
  NARU_ASSIGN(const auto bytes, entry.find_int("size", 0, kHubFileBytesMax));
  file.bytes = bytes.value_or(-1);
  NARU_TRY(read_hash(entry, &file));
  return file;
}

}  // namespace

std::string_view hash_name(Digest::Kind kind) {
  return kind == Digest::Kind::kSha256 ? "SHA-256" : "git blob id";
}

bool is_hash(std::string_view hex, Digest::Kind kind) {
  return hex.size() == (kind == Digest::Kind::kSha256 ? kSha256Digits : kSha1Digits) && is_hex(hex);
}

Digest start_digest(Digest::Kind kind, int64_t bytes) {
  Digest digest(kind);
  if (kind == Digest::Kind::kSha1) {
    std::string head = fmt::format("blob {}", bytes);
    head += '\0';
    digest.update(as_bytes(head));
  }
  return digest;
}

const HubFile* Listing::find(std::string_view path) const {
  const auto place = std::lower_bound(files.begin(), files.end(), path,
                                      [](const HubFile& file, std::string_view wanted) { return file.path < wanted; });
  return place != files.end() && place->path == path ? &*place : nullptr;
}

Result<Listing> parse_listing(Bytes json, std::string_view document) {
  NARU_ASSIGN(const nlohmann::json parsed,
              formats::parse_json(json, document, {.bytes_max = kListingBytesMax, .wide_integers = true}));
  NARU_ASSIGN(const JsonObject root, JsonObject::of(parsed, document));
  Listing listing;
  NARU_ASSIGN(listing.commit, root.get_string("sha"));
  const bool is_commit = is_hash(listing.commit, Digest::Kind::kSha1) || is_hash(listing.commit, Digest::Kind::kSha256);
  if (!is_commit) {
    return root.wrong(Code::kCorrupt, "sha", formats::json_quoted(listing.commit.substr(0, 100)), "the id of a commit",
                      kTryAgain);
  }
  NARU_ASSIGN(const auto entries, root.find_array("siblings"));
  if (static_cast<int64_t>(entries.size()) > kListedFilesMax) {
    return root.wrong(Code::kCorrupt, "siblings", fmt::format("a list of {} files", entries.size()),
                      fmt::format("at most {}", kListedFilesMax), "it is no repository of one model; take another");
  }
  for (size_t i = 0; i < entries.size(); ++i) {
    NARU_ASSIGN(HubFile file, read_file_entry(*entries[i], document, i));
    listing.files.push_back(std::move(file));
  }
  std::sort(listing.files.begin(), listing.files.end(),
            [](const HubFile& a, const HubFile& b) { return a.path < b.path; });
  const auto twice = std::adjacent_find(listing.files.begin(), listing.files.end(),
                                        [](const HubFile& a, const HubFile& b) { return a.path == b.path; });
  if (twice != listing.files.end()) {
    return root.wrong(Code::kCorrupt, "siblings",
                      fmt::format("the file {} twice", formats::printable(twice->path, 300)), "each file once",
                      kTryAgain);
  }
  return listing;
}

}  // namespace naru::hub
