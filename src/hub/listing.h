// What a hub says of a repository at one revision: its commit, and the size and hash of every file. The answer of
// /api/models/OWNER/NAME/revision/REVISION?blobs=true, which may lie about everything.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/digest.h"
#include "base/result.h"

namespace naru::hub {

inline constexpr int64_t kListingBytesMax = 32ll << 20;        // bytes of a listing
inline constexpr int64_t kListedFilesMax = 100000;             // files in one
inline constexpr int64_t kHubFileBytesMax = int64_t{1} << 50;  // bytes of one file

// How a file's content is known: large files (git-lfs) by their SHA-256, others by the id of their git blob, which is
// the SHA-1 of "blob ", the size, a zero byte and the content.
struct ContentHash {
  Digest::Kind kind = Digest::Kind::kSha256;
  std::string hex;  // lower-case
  friend bool operator==(const ContentHash&, const ContentHash&) = default;
};
// "SHA-256" or "git blob id"
std::string_view hash_name(Digest::Kind kind);
// A digest that has taken in all that comes before the content of a file of `bytes` bytes.
Digest start_digest(Digest::Kind kind, int64_t bytes);
// Whether the text is a hash of that kind.
bool is_hash(std::string_view hex, Digest::Kind kind);

struct HubFile {
  std::string path;    // is_safe_path
  int64_t bytes = -1;  // -1: not said
  ContentHash hash;    // empty: not said
};

struct Listing {
  std::string commit;          // 40 or 64 hexadecimal digits
  std::vector<HubFile> files;  // by path, each once
  const HubFile* find(std::string_view path) const;
};

// `document` is how messages call it. A path that could lead out of a folder refuses the listing.
Result<Listing> parse_listing(Bytes json, std::string_view document);

}  // namespace naru::hub
