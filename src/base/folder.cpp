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
  const bool is_full = is_out_of_space(error_number);
  const Code code = is_full ? Code::kResourceExhausted : error_number == ENOENT ? Code::kNotFound : Code::kUnavailable;
  return {code, fmt::format("{} {}: {}; {}", doing, path.string(), std::strerror(error_number),
                            is_full ? "free some space or choose another place"
                                    : "choose a place that exists and may be written")};
}

fs::path parent_of(const fs::path& path) {
  return path.parent_path().empty() ? fs::path(".") : path.parent_path();
}

// The path without a separator at its end; an error where there is no name.
Result<fs::path> named_path(const fs::path& target) {
  fs::path plain = target.lexically_normal();
  if (!plain.has_filename()) plain = plain.parent_path();  // "model/"
  if (plain.has_filename() && plain.filename() != "." && plain.filename() != "..") return plain;
  return Error{
      Code::kInvalidArgument,
      fmt::format("making the folder '{}': it has no name of its own; give the path of a new folder", target.string())};
}

Error is_not_empty(const fs::path& path) {
  return {Code::kInvalidArgument,
          fmt::format("writing {}: there is a folder of that name already, with files in it; choose another name, or "
                      "replace it with --force",
                      path.string())};
}

// The folders above a place that are not there, the innermost first.
std::vector<fs::path> missing_parents(const fs::path& path) {
  std::vector<fs::path> missing;
  struct stat info {};
  for (fs::path at = parent_of(path); ::lstat(at.c_str(), &info) != 0 && errno == ENOENT; at = parent_of(at)) {
    missing.push_back(at);
  }
  return missing;
}

// Whether they can be made, for all that can be known without making them.
Status check_nearest(const fs::path& target, const std::vector<fs::path>& missing) {
  const fs::path nearest = parent_of(missing.empty() ? target : missing.back());
  std::error_code code;
  if (!fs::is_directory(nearest, code)) {
    return Error{Code::kInvalidArgument,
                 fmt::format("writing {}: {} is no folder; choose another place", target.string(), nearest.string())};
  }
  if (::access(nearest.c_str(), W_OK | X_OK) == 0) return {};
  return folder_error("making a folder in", nearest, errno);
}

struct FolderPlace {
  fs::path path;       // no link
  mode_t mode = 0777;  // of the folder that is there, else what the umask is taken from
  bool is_there = false;
};

Result<FolderPlace> look_at_folder(const fs::path& target, Existing existing) {
  FolderPlace place;
  NARU_ASSIGN(place.path, named_path(target));
  struct stat info {};
  if (::lstat(place.path.c_str(), &info) != 0) {
    if (errno == ENOENT) return place;
    return folder_error("making the folder", place.path, errno);
  }
  const bool is_link = S_ISLNK(info.st_mode);
  if (is_link && ::stat(place.path.c_str(), &info) != 0) {
    return Error{Code::kInvalidArgument,
                 fmt::format("writing {}: it is a link that leads nowhere: {}; choose another name",
                             place.path.string(), std::strerror(errno))};
  }
  if (!S_ISDIR(info.st_mode)) {
    return Error{Code::kInvalidArgument,
                 fmt::format("writing {}: there is {} of that name already, a new name or a folder was wanted; choose "
                             "another name",
                             place.path.string(), S_ISREG(info.st_mode) ? "a file" : "something")};
  }
  std::error_code code;
  if (is_link) place.path = fs::canonical(place.path, code);
  const bool is_empty = !code && fs::is_empty(place.path, code);
  if (code) return folder_error("looking at the folder", place.path, code.value());
  if (!is_empty && existing == Existing::kRefuse) return is_not_empty(target);
  place.mode = info.st_mode & 0777;
  place.is_there = true;
  return place;
}

}  // namespace

Status check_folder_place(const fs::path& target, Existing existing,
                          const std::function<bool(const fs::directory_entry& entry)>& is_ours, Parents parents) {
  NARU_ASSIGN(const FolderPlace place, look_at_folder(target, existing));
  std::error_code code;
  if (!place.is_there) {
    if (parents == Parents::kMade) return check_nearest(place.path, missing_parents(place.path));
    if (fs::is_directory(parent_of(place.path), code)) return {};
    return Error{Code::kNotFound,
                 fmt::format("writing {}: the folder {} is not there; make it, or choose another place",
                             target.string(), parent_of(place.path).string())};
  }
  for (fs::directory_iterator entry(place.path, code), end; !code && entry != end; entry.increment(code)) {
    if (is_ours(*entry)) continue;
    return Error{Code::kInvalidArgument,
                 fmt::format("writing {}: there is a folder of that name, and it holds '{}', which is not of such an "
                             "output; choose another name",
                             target.string(), entry->path().filename().string())};
  }
  if (code) return folder_error("looking at the folder", place.path, code.value());
  return {};
}

Result<MadeParents> MadeParents::create(const fs::path& target) {
  MadeParents parents;
  NARU_ASSIGN(const fs::path path, named_path(target));
  const std::vector<fs::path> missing = missing_parents(path);
  for (auto at = missing.rbegin(); at != missing.rend(); ++at) {
    std::error_code code;
    if (fs::create_directory(*at, code)) parents.made_.push_back(*at);
    if (code) return folder_error("making the folder", *at, code.value());
  }
  return parents;
}

MadeParents::~MadeParents() {
  for (auto at = made_.rbegin(); at != made_.rend(); ++at) ::rmdir(at->c_str());  // never one that holds something
}

Status sync_folder(const fs::path& folder) {
  const int fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0 && errno == EACCES) return {};  // one that may be written and not read cannot be synced
  if (fd < 0) return folder_error("syncing the folder", folder, errno);
  // Some file systems cannot sync folders.
  const bool synced = ::fsync(fd) == 0 || errno == EINVAL || errno == EOPNOTSUPP || errno == ENOSYS;
  const int error_number = errno;
  ::close(fd);
  if (!synced) return folder_error("syncing the folder", folder, error_number);
  return {};
}

Result<AtomicFolder> AtomicFolder::create(const fs::path& target, Existing existing) {
  NARU_ASSIGN(FolderPlace place, look_at_folder(target, existing));
  std::error_code code;
  fs::create_directories(parent_of(place.path), code);
  if (code) return folder_error("making the folder", parent_of(place.path), code.value());
  auto partial = Partial::create(place.path, Partial::Kind::kFolder, 0777);
  if (!partial.ok()) {
    const Error& error = partial.error();
    return Error{error.code,
                 fmt::format("making the folder {}: {}; {}", place.path.string(), error.message,
                             error.code == Code::kResourceExhausted ? "free some space or choose another place"
                                                                    : "choose a place that exists and may be written")};
  }
  if (place.is_there) (void)!::fchmod(partial->fd(), place.mode);
  return AtomicFolder(std::move(place.path), existing, std::move(partial).value());
}

Result<fs::path> put_in_place(const fs::path& made, const fs::path& target, Existing existing) {
  NARU_TRY(sync_folder(made));
  // This replaces nothing but an empty folder.
  if (::rename(made.c_str(), target.c_str()) == 0) {
    NARU_TRY(sync_folder(parent_of(target)));
    return fs::path();
  }
  if (errno != ENOTEMPTY && errno != EEXIST) return folder_error("renaming the finished folder to", target, errno);
  if (existing == Existing::kRefuse) return is_not_empty(target);
  if (::renameat2(AT_FDCWD, made.c_str(), AT_FDCWD, target.c_str(), RENAME_EXCHANGE) == 0) {
    NARU_TRY(sync_folder(parent_of(target)));
    return made;
  }
  // A file system that cannot exchange two names: for a moment there is none. The old one's name is such that no writer
  // takes it for a left-over.
  fs::path old = made;
  old += "-old";
  if (::rename(target.c_str(), old.c_str()) != 0 || ::rename(made.c_str(), target.c_str()) != 0) {
    const int error_number = errno;
    ::rename(old.c_str(), target.c_str());
    return folder_error("replacing the folder", target, error_number);
  }
  const Status synced = sync_folder(parent_of(target));
  if (synced.ok()) return old;
  std::error_code ignored;
  fs::remove_all(old, ignored);  // the caller does not learn its name
  return synced.error();
}

Status AtomicFolder::commit() {
  const fs::path temporary = partial_.path();
  NARU_ASSIGN(fs::path replaced, put_in_place(temporary, target_, existing_));
  // What was replaced goes with this object.
  if (replaced.empty()) {
    partial_.release();
  } else if (replaced != temporary) {
    partial_.take_over(std::move(replaced));
  }
  return {};
}

Status remove_folder(const fs::path& folder) {
  fs::path gone = folder;
  const std::string name = folder.filename().string();
  if (!is_partial_of(name, name.substr(0, name.rfind(kPartialMark)))) {
    NARU_ASSIGN(gone, partial_name(folder));
    if (::rename(folder.c_str(), gone.c_str()) != 0) return folder_error("removing the folder", folder, errno);
  }
  std::error_code code;
  fs::remove_all(gone, code);
  if (code) return folder_error("removing the folder", gone, code.value());
  return {};
}

}  // namespace naru
