#include "chips/gpu/program_cache.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "base/file.h"
#include "base/home.h"
#include "base/sha256.h"

namespace naru::gpu {
namespace {

constexpr int64_t kProgramMax = int64_t{256} << 20;
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

}  // namespace

std::string ProgramCache::find(std::string_view key) const {
  const std::filesystem::path path = path_of(key);
  if (path.empty() || !is_own(path.parent_path(), true) || !is_own(path, false)) return {};
  auto file = read_file(path, kProgramMax);
  if (!file.ok() || file->size() <= kDigest) return {};
  std::string program = file->substr(kDigest);
  return sha256_hex(bytes_of(program)) == file->substr(0, kDigest) ? program : std::string();
}

void ProgramCache::keep(std::string_view key, std::string_view program) const {
  const std::filesystem::path path = path_of(key);
  if (path.empty() || program.empty() || static_cast<int64_t>(program.size() + kDigest) > kProgramMax) return;
  std::error_code error;
  std::filesystem::create_directories(path.parent_path(), error);
  if (error) return;
  std::filesystem::permissions(path.parent_path(), std::filesystem::perms::owner_all, error);
  if (error || !is_own(path.parent_path(), true)) return;
  auto file = AtomicFile::create(path);
  if (!file.ok()) return;
  const std::string digest = sha256_hex(bytes_of(program));
  if (!file->write(bytes_of(digest)).ok() || !file->write(bytes_of(program)).ok()) return;
  const Status status = file->commit();
  static_cast<void>(status.ok());  // the next process builds it again
}

void ProgramCache::drop(std::string_view key) const {
  std::error_code error;
  std::filesystem::remove(path_of(key), error);
}

}  // namespace naru::gpu
