// One hash that names all files of a model.
#pragma once

#include <fmt/format.h>

#include <string>
#include <vector>

#include "base/sha256.h"
#include "formats/tensor_file.h"

namespace naru::formats {

// Of one file its own, of several that of their list as sha256sum prints it.
inline std::string digest_of(const std::vector<FileDigest>& digests) {
  if (digests.size() == 1) return digests.front().sha256;
  std::string list;
  for (const FileDigest& digest : digests) list += fmt::format("{}  {}\n", digest.sha256, digest.name);
  return sha256_hex(as_bytes(list));
}

}  // namespace naru::formats
