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

}  // namespace naru
