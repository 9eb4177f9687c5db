#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <set>
#include <system_error>

#include "base/file.h"
#include "base/folder.h"
#include "base/partial.h"
#include "formats/utf8.h"
#include "hub/models_folder.h"
#include "hub/staging_place.h"

namespace naru::hub {
namespace {

namespace fs = std::filesystem;

constexpr int kLockTries = 10;  // another process may remove the folder between its making and its lock

Error staging_error(const fs::path& path, int error_number) {
  const bool is_full = is_out_of_space(error_number);
  return {is_full ? Code::kResourceExhausted : Code::kUnavailable,
          fmt::format("writing {}: {}; {}", formats::printable(path.string(), 300), std::strerror(error_number),
                      is_full ? "free some space, or have NARU_MODELS name another disk"
                              : "check that the models folder may be written, or set NARU_MODELS to another")};
}

// Whether the open folder is still the one of that name.
bool is_at(const fs::path& path, int fd) {
  struct stat open {};
  struct stat named {};
  return ::fstat(fd, &open) == 0 && ::lstat(path.c_str(), &named) == 0 && open.st_dev == named.st_dev &&
         open.st_ino == named.st_ino;
}

Error at_work(std::string_view what) {
  return {Code::kUnavailable,
          fmt::format("opening {}: another naru is at work on it, one at a time was wanted; wait for it",
                      formats::printable(what, 300))};
}

// `what` is the name of the model, for messages.
Status lock_folder(const fs::path& folder, std::string_view what, int fd) {
  int status = 0;
  do {
    status = ::flock(fd, LOCK_EX | LOCK_NB);
  } while (status != 0 && errno == EINTR);
  if (status == 0) return {};
  if (errno == EWOULDBLOCK) return at_work(what);
  return Error{Code::kUnavailable, fmt::format("locking {}: {}; have NARU_MODELS name a folder on a disk with locks",
                                               formats::printable(folder.string(), 300), std::strerror(errno))};
}

bool is_same(const PulledFile* old, const PulledFile& file) {
  return old != nullptr && old->source.bytes == file.source.bytes && old->source.hash == file.source.hash;
}

Status write_manifest(const fs::path& folder, const PullManifest& manifest) {
  NARU_ASSIGN(AtomicFile file, AtomicFile::create(folder / kPullManifestName));
  NARU_TRY(file.write(as_bytes(pull_manifest_text(manifest))));
  return file.commit();
}

// Files below a folder, links and all else too, by their paths in it; folders are named only where they are empty.
Result<std::vector<std::string>> entries_below(const fs::path& folder) {
  std::vector<std::string> found;
  std::error_code code;
  for (fs::recursive_directory_iterator place(folder, code), end; !code && place != end; place.increment(code)) {
    std::error_code ignored;
    const bool is_folder = place->symlink_status(ignored).type() == fs::file_type::directory;
    if (is_folder && !fs::is_empty(place->path(), ignored)) continue;
    found.push_back(place->path().lexically_relative(folder).string());
  }
  if (code) return staging_error(folder, code.value());
  return found;
}

}  // namespace

fs::path staging_path(const fs::path& models, const ModelName& name) {
  return models / kStagingFolder /
         (name.is_packaged() ? name.repository : name.owner + "--" + name.folder().filename().string());
}

Result<PullManifest> read_manifest(const fs::path& folder) {
  NARU_ASSIGN(const std::string text, read_file(folder / kPullManifestName, kPullManifestBytesMax));
  return parse_pull_manifest(as_bytes(text), (folder / kPullManifestName).string());
}

Result<std::optional<PullManifest>> read_installed(const fs::path& folder) {
  std::error_code ignored;
  if (!fs::exists(folder / kPullManifestName, ignored)) return std::optional<PullManifest>();
  NARU_ASSIGN(PullManifest manifest, read_manifest(folder));
  return std::optional<PullManifest>(std::move(manifest));
}

Status check_is_ours(const fs::path& folder, const ModelName& name) {
  std::error_code ignored;
  const auto not_ours = [&](std::string_view found, std::string_view next) -> Status {
    return Error{Code::kInvalidArgument,
                 fmt::format("looking at {}: {}; {}", formats::printable(folder.string(), 300), found, next)};
  };
  const bool is_link = fs::is_symlink(fs::symlink_status(folder, ignored)) ||
                       (!name.is_packaged() && fs::is_symlink(fs::symlink_status(folder.parent_path(), ignored)));
  if (is_link) {
    return not_ours("it or its owner's folder is a link, a folder was wanted",
                    "move the link away, or have NARU_MODELS name the other disk");
  }
  if (!fs::exists(folder, ignored)) return {};
  NARU_ASSIGN(const auto entries, entries_below(folder));
  if (entries.empty()) return {};
  if (!fs::exists(folder / kPullManifestName, ignored)) {
    return not_ours("it was not made by `naru pull`", "move it away, or set NARU_MODELS to another folder");
  }
  NARU_ASSIGN(const PullManifest manifest, read_manifest(folder));
  if (manifest.model != name.text()) {
    return not_ours(fmt::format("it holds the model {}", formats::printable(manifest.model, 300)),
                    "remove that one first with `naru rm`");
  }
  for (const std::string& entry : entries) {
    const bool is_manifest = entry == kPullManifestName || is_partial_of(entry, kPullManifestName);
    if (is_manifest || manifest.find(entry) != nullptr) continue;
    return not_ours(fmt::format("it holds '{}', which `naru pull` did not put there", formats::printable(entry, 300)),
                    "move that away first");
  }
  return {};
}

Result<Staging> Staging::open(const fs::path& models, const ModelName& name) {
  Staging staging;
  staging.path_ = staging_path(models, name);
  for (int i = 0; i < kLockTries; ++i) {
    std::error_code code;
    fs::create_directories(staging.path_, code);
    if (code) return staging_error(staging.path_, code.value());
    staging.lock_ = OwnedFd(::open(staging.path_.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (staging.lock_.get() < 0 && errno == ENOENT) continue;
    if (staging.lock_.get() < 0) return staging_error(staging.path_, errno);
    NARU_TRY(lock_folder(staging.path_, name.text(), staging.lock_.get()));
    if (!is_at(staging.path_, staging.lock_.get())) continue;
    auto earlier = read_manifest(staging.path_);
    if (earlier.ok() && earlier->model == name.text()) staging.earlier_ = std::move(earlier).value();
    return staging;
  }
  return at_work(name.text());
}

Status Staging::check_disk(const fs::path& target) const {
  struct stat here {};
  struct stat there {};
  if (::fstat(lock_.get(), &here) != 0) return staging_error(path_, errno);
  fs::path place = target;
  while (::stat(place.c_str(), &there) != 0) {
    if (errno != ENOENT || !place.has_relative_path()) return staging_error(place, errno);
    place = place.parent_path();
  }
  if (here.st_dev == there.st_dev) return {};
  return Error{Code::kUnavailable,
               fmt::format("looking at {}: it is on another disk than {}, the same was wanted; have NARU_MODELS name a "
                           "folder that is on one disk",
                           formats::printable(place.string(), 300), formats::printable(path_.string(), 300))};
}

// The lock is of a folder and not of its name: what comes to this place must be locked before.
Result<OwnedFd> Staging::lock_installed(const fs::path& target) const {
  OwnedFd fd(::open(target.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (fd.get() < 0 && errno == ENOENT) return fd;
  if (fd.get() < 0) return staging_error(target, errno);
  NARU_TRY(lock_folder(target, target.filename().string(), fd.get()));
  return fd;
}

Status Staging::prepare(const PullManifest& manifest) {
  NARU_ASSIGN(const auto entries, entries_below(path_));
  for (const std::string& entry : entries) {
    const PulledFile* wanted = manifest.find(entry);
    const bool is_earlier = wanted != nullptr && earlier_ && is_same(earlier_->find(entry), *wanted);
    const bool is_checked = wanted != nullptr && std::any_of(checked_.begin(), checked_.end(), [&](const auto& file) {
                              return file.name == entry && is_same(&file, *wanted);
                            });
    const bool stays = is_earlier || is_checked;
    if (stays || entry == kPullManifestName) continue;
    std::error_code code;
    fs::remove(path_ / entry, code);
    if (code) return staging_error(path_ / entry, code.value());
  }
  NARU_TRY(write_manifest(path_, manifest));
  for (const PulledFile& file : manifest.files) {
    std::error_code code;
    fs::create_directories((path_ / file.name).parent_path(), code);
    if (code) return staging_error(path_ / file.name, code.value());
  }
  return {};
}

void Staging::take_from(const fs::path& installed, const PullManifest& old, const PulledFile& file) const {
  if (!is_same(old.find(file.name), file)) return;
  struct stat info {};
  const fs::path source = installed / file.name;
  const bool is_fit = ::lstat(source.c_str(), &info) == 0 && S_ISREG(info.st_mode) && info.st_size == file.source.bytes;
  // A disk that knows no second names has it fetched again.
  if (is_fit) (void)!::link(source.c_str(), (path_ / file.name).c_str());
}

bool Staging::is_installed(const fs::path& installed, const PullManifest& manifest) const {
  return std::all_of(manifest.files.begin(), manifest.files.end(), [&](const PulledFile& file) {
    struct stat here {};
    struct stat there {};
    return ::lstat((path_ / file.name).c_str(), &here) == 0 && ::lstat((installed / file.name).c_str(), &there) == 0 &&
           here.st_dev == there.st_dev && here.st_ino == there.st_ino;
  });
}

Status Staging::install(const fs::path& target, const PullManifest& manifest) {
  std::set<fs::path> folders;
  for (const PulledFile& file : manifest.files) folders.insert((path_ / file.name).parent_path());
  for (const fs::path& folder : folders) NARU_TRY(sync_folder(folder));
  NARU_TRY(write_manifest(path_, manifest));
  std::error_code code;
  fs::create_directories(target.parent_path(), code);
  if (code) return staging_error(target.parent_path(), code.value());
  NARU_ASSIGN(const OwnedFd installed, lock_installed(target));
  NARU_ASSIGN(const fs::path replaced, put_in_place(path_, target, Existing::kReplace));
  if (!replaced.empty()) fs::remove_all(replaced, code);
  fs::remove(path_.parent_path(), code);  // where no other pull is in progress
  return {};
}

Status Staging::discard() {
  std::error_code code;
  fs::remove_all(path_, code);
  if (code) return staging_error(path_, code.value());
  fs::remove(path_.parent_path(), code);
  return {};
}

void Staging::discard_if_empty() {
  const auto entries = entries_below(path_);
  if (!entries.ok()) return;
  for (const std::string& entry : *entries) {
    std::error_code code;
    if (entry != kPullManifestName && fs::file_size(path_ / entry, code) > 0) return;
  }
  (void)discard();
}

Status Staging::remove(const fs::path& installed) {
  NARU_TRY(check_disk(installed));
  NARU_ASSIGN(const OwnedFd lock, lock_installed(installed));
  std::error_code code;
  for (fs::directory_iterator place(path_, code), end; !code && place != end; place.increment(code)) {
    fs::remove_all(place->path(), code);
    if (code) break;
  }
  if (code) return staging_error(path_, code.value());
  // This replaces the empty folder.
  if (::rename(installed.c_str(), path_.c_str()) != 0) return staging_error(installed, errno);
  return discard();
}

}  // namespace naru::hub
