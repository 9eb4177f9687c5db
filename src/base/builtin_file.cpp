#include "base/builtin_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <vector>

#include "base/check.h"
#include "base/sha256.h"

namespace naru {
namespace {

std::vector<BuiltinFile>& builtin_files() {
  static std::vector<BuiltinFile> files;
  return files;
}

auto find_builtin(std::string_view path) {
  return std::ranges::find(builtin_files(), path, &BuiltinFile::path);
}

}  // namespace

bool is_builtin_path(const std::filesystem::path& path) {
  return path.native().starts_with(kBuiltinPrefix);
}

void add_builtin_file(const BuiltinFile& file) {
  NARU_CHECK(is_builtin_path(file.path) && file.sha256.size() == 64, file.path, file.sha256);
  const auto place = find_builtin(file.path);
  if (place == builtin_files().end()) {
    builtin_files().push_back(file);
  } else {
    *place = file;
  }
}

Result<Bytes> builtin_file_bytes(const std::filesystem::path& path) {
  const auto place = find_builtin(path.native());
  if (place == builtin_files().end()) {
    return Error{Code::kNotFound,
                 fmt::format("opening {}: this program has no such file inside; check the name, or give the path of a "
                             "file on disk (one that is called so is ./{})",
                             path.string(), path.string())};
  }
  Sha256 hash;
  hash.update(place->bytes);
  const std::string found = hash.finish_hex();
  if (found == place->sha256) return place->bytes;
  return Error{
      Code::kCorrupt,
      fmt::format("opening {}: its SHA-256 is {}, {} was put into the program when it was built: the program's "
                  "file is damaged; install or build naru again",
                  path.string(), found, place->sha256)};
}

std::filesystem::path absolute_place(const std::filesystem::path& path) {
  return is_builtin_path(path) ? path : std::filesystem::absolute(path);
}

}  // namespace naru
