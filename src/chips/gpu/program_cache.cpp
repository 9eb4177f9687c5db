#include "chips/gpu/program_cache.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <vector>

#include "base/file.h"
#include "base/home.h"
#include "base/partial.h"
#include "base/sha256.h"

namespace naru::gpu {
namespace {

constexpr size_t kDigest = 64;

Bytes bytes_of(std::string_view text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

// Empty where there is no place for it.
std::filesystem::path folder() {
  const char* cache = std::getenv("XDG_CACHE_HOME");
  if (cache != nullptr && cache[0] == '/') return std::filesystem::path(cache) / "naru" / "kernels";
  const std::string home = home_folder();
  return home.empty() ? std::filesystem::path() : std::filesystem::path(home) / ".cache" / "naru" / "kernels";
}

// Whoever may write a program may run it here: others may not, beside the system.
bool is_own(const std::filesystem::path& path, bool is_folder) {
  struct stat status;
  if (::lstat(path.c_str(), &status) != 0 || status.st_uid != ::geteuid()) return false;
  return is_folder ? S_ISDIR(status.st_mode) && (status.st_mode & 022) == 0 : S_ISREG(status.st_mode);
}

std::filesystem::path path_of(std::string_view key) {
  const std::filesystem::path in = folder();
  return in.empty() ? in : in / sha256_hex(bytes_of(key));
}

// Of a program, or what is left of one that was being written.
bool is_kept_name(const std::filesystem::path& path) {
  const std::string name = path.filename().string();
  const auto is_hex = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); };
  const bool is_digest = name.size() >= 64 && std::all_of(name.begin(), name.begin() + 64, is_hex);
  return is_digest && (name.size() == 64 || name.substr(64).starts_with(kPartialMark)) && !is_being_written(path);
}

// Programs of the folder, those that were not used for the longest time first, until the rest has no more than so many
// bytes. What another process removed meanwhile is gone too.
void remove_oldest(const std::filesystem::path& folder, int64_t bytes_max) {
  struct Kept {
    std::filesystem::path path;
    std::filesystem::file_time_type used;
    int64_t bytes;
  };
  std::vector<Kept> all;
  int64_t total = 0;
  std::error_code error, skipped;
  for (std::filesystem::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    if (!is_own(at->path(), false) || !is_kept_name(at->path())) continue;
    const auto used = at->last_write_time(skipped);
    if (skipped) continue;
    const auto bytes = static_cast<int64_t>(at->file_size(skipped));
    if (skipped) continue;
    total += bytes;
    all.push_back({at->path(), used, bytes});
  }
  std::sort(all.begin(), all.end(), [](const Kept& a, const Kept& b) { return a.used < b.used; });
  for (const Kept& oldest : all) {
    if (total <= bytes_max) return;
    std::filesystem::remove(oldest.path, skipped);
    total -= oldest.bytes;
  }
}

}  // namespace

std::string ProgramCache::find(std::string_view key) const {
  const std::filesystem::path path = path_of(key);
  if (path.empty() || !is_own(path.parent_path(), true) || !is_own(path, false)) return {};
  auto file = read_file(path, bytes_max_);
  if (!file.ok() || file->size() <= kDigest) return {};
  std::string program = file->substr(kDigest);
  if (sha256_hex(bytes_of(program)) != file->substr(0, kDigest)) return {};
  ::utimensat(AT_FDCWD, path.c_str(), nullptr, AT_SYMLINK_NOFOLLOW);  // used now
  return program;
}

void ProgramCache::keep(std::string_view key, std::string_view program) const {
  const std::filesystem::path path = path_of(key);
  if (path.empty() || program.empty() || static_cast<int64_t>(program.size() + kDigest) > bytes_max_) return;
  std::error_code error;
  std::filesystem::create_directories(path.parent_path(), error);
  if (error) return;
  std::filesystem::permissions(path.parent_path(), std::filesystem::perms::owner_all, error);
  if (error || !is_own(path.parent_path(), true)) return;
  auto file = AtomicFile::create(path);
  if (!file.ok()) return;
  const std::string digest = sha256_hex(bytes_of(program));
  if (!file->write(bytes_of(digest)).ok() || !file->write(bytes_of(program)).ok()) return;
  if (!file->commit().ok()) return;  // the next process builds it again
  remove_oldest(path.parent_path(), bytes_max_);
}

void ProgramCache::drop(std::string_view key) const {
  std::error_code error;
  std::filesystem::remove(path_of(key), error);
}

}  // namespace naru::gpu
