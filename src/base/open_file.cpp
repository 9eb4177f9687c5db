#include "base/open_file.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>

namespace naru {

FileState file_state(const struct stat& info) {
  return {static_cast<int64_t>(info.st_size),
          static_cast<int64_t>(info.st_mtim.tv_sec) * 1000000000 + info.st_mtim.tv_nsec};
}

Status check_same(int fd, std::string_view name, const FileState& before) {
  struct stat info {};
  if (::fstat(fd, &info) != 0) {
    return Error{Code::kUnavailable, fmt::format("reading {}: {}; check the disk", name, std::strerror(errno))};
  }
  const FileState now = file_state(info);
  if (now.size != before.size) {
    return Error{Code::kUnavailable,
                 fmt::format("reading {}: it had {} bytes when it was opened and has {} now; let what writes it finish "
                             "and try again",
                             name, before.size, now.size)};
  }
  if (now.changed_ns == before.changed_ns) return {};
  return Error{Code::kUnavailable, fmt::format("reading {}: it was written to while it was read; let what writes it "
                                               "finish and try again",
                                               name)};
}

Result<bool> is_anything(const std::filesystem::path& path) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) == 0) return true;
  if (errno == ENOENT) return false;
  return not_readable_error(path.string(), errno);
}

Error not_readable_error(std::string_view name, int error_number) {
  const bool is_short = error_number == EMFILE || error_number == ENFILE || error_number == ENOMEM;
  return {is_short ? Code::kResourceExhausted : Code::kUnavailable,
          fmt::format("reading {}: {}; {}", name, std::strerror(error_number),
                      is_short ? "allow more, or end other programs" : "check that it may be read, and its disk")};
}

}  // namespace naru
