#include "base/folder.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <system_error>

#include "base/file.h"

namespace naru {
namespace {

namespace fs = std::filesystem;

Error folder_error(std::string_view doing, const fs::path& path, int error_number) {
  const bool is_full = error_number == ENOSPC || error_number == EDQUOT;
  const Code code = is_full ? Code::kResourceExhausted : error_number == ENOENT ? Code::kNotFound : Code::kUnavailable;
  return {code, fmt::format("{} {}: {}; {}", doing, path.string(), std::strerror(error_number),
                            is_full ? "free some space or choose another place"
                                    : "choose a place that exists and may be written")};
}

fs::path parent_of(const fs::path& path) {
  return path.parent_path().empty() ? fs::path(".") : path.parent_path();
}

fs::path temporary_name(const fs::path& target) {
  fs::path name = target;
  name += fmt::format("{}{}", kPartialMark, ::getpid());
  return name;
}

}  // namespace

Status sync_folder(const fs::path& folder) {
  const int fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return folder_error("syncing the folder", folder, errno);
  const bool synced = ::fsync(fd) == 0 || errno == EINVAL;  // EINVAL: this file system cannot sync folders
  const int error_number = errno;
  ::close(fd);
  if (!synced) return folder_error("syncing the folder", folder, error_number);
  return {};
}

Result<AtomicFolder> AtomicFolder::create(const fs::path& target) {
  fs::path plain = target.lexically_normal();
  if (!plain.has_filename()) plain = plain.parent_path();  // "model/"
  if (!plain.has_filename() || plain.filename() == "." || plain.filename() == "..") {
    return Error{Code::kInvalidArgument,
                 fmt::format("making the folder '{}': it has no name of its own; give the path of a new folder",
                             target.string())};
  }
  std::error_code code;
  fs::create_directories(parent_of(plain), code);
  if (code) return folder_error("making the folder", parent_of(plain), code.value());
  AtomicFolder folder;
  const fs::path temporary = temporary_name(plain);
  fs::remove_all(temporary, code);  // of an earlier process with this id
  if (::mkdir(temporary.c_str(), 0755) != 0) return folder_error("making the folder", temporary, errno);
  folder.target_ = std::move(plain);
  folder.temporary_ = temporary;
  return folder;
}

AtomicFolder::AtomicFolder(AtomicFolder&& other) noexcept
    : target_(std::move(other.target_)), temporary_(std::move(other.temporary_)) {
  other.temporary_.clear();
}

AtomicFolder::~AtomicFolder() {
  std::error_code ignored;
  if (!temporary_.empty()) fs::remove_all(temporary_, ignored);
}

Status AtomicFolder::commit() {
  NARU_TRY(sync_folder(temporary_));
  if (::rename(temporary_.c_str(), target_.c_str()) == 0) {
    temporary_.clear();
    return sync_folder(parent_of(target_));
  }
  if (errno != ENOTEMPTY && errno != EEXIST) return folder_error("renaming the finished folder to", target_, errno);
  // The old folder gets the temporary name, and goes with this object.
  if (::renameat2(AT_FDCWD, temporary_.c_str(), AT_FDCWD, target_.c_str(), RENAME_EXCHANGE) == 0) {
    return sync_folder(parent_of(target_));
  }
  // A file system that cannot exchange two names: for a moment there is none.
  fs::path old = temporary_;
  old += "-old";
  if (::rename(target_.c_str(), old.c_str()) != 0 || ::rename(temporary_.c_str(), target_.c_str()) != 0) {
    const int error_number = errno;
    ::rename(old.c_str(), target_.c_str());
    return folder_error("replacing the folder", target_, error_number);
  }
  temporary_ = std::move(old);
  return sync_folder(parent_of(target_));
}

Status remove_folder(const fs::path& folder) {
  const fs::path gone = folder.string().find(kPartialMark) == std::string::npos ? temporary_name(folder) : folder;
  if (gone != folder && ::rename(folder.c_str(), gone.c_str()) != 0) {
    return folder_error("removing the folder", folder, errno);
  }
  std::error_code code;
  fs::remove_all(gone, code);
  if (code) return folder_error("removing the folder", gone, code.value());
  return {};
}

}  // namespace naru
