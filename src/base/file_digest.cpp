#include "base/file_digest.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <vector>

#include "base/open_file.h"
#include "base/sha256.h"

namespace naru {
namespace {

constexpr size_t kDigestReadBytes = size_t{1} << 20;

Result<FileContent> digest_open(int fd, const std::filesystem::path& path, const std::function<bool()>& should_stop) {
  struct stat info {};
  if (::fstat(fd, &info) != 0) return not_readable_error(path.string(), errno);
  if (!S_ISREG(info.st_mode)) {
    return Error{Code::kInvalidArgument, fmt::format("reading {}: it is no regular file, one was wanted; put the file "
                                                     "back, or move away what has its name",
                                                     path.string())};
  }
  FileContent content;
  Sha256 hash;
  std::vector<std::byte> block(kDigestReadBytes);
  while (true) {
    if (should_stop && should_stop()) return Error{Code::kCancelled, fmt::format("reading {}: stopped", path.string())};
    const ssize_t n = ::read(fd, block.data(), block.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return not_readable_error(path.string(), errno);
    if (n == 0) break;
    hash.update({block.data(), static_cast<size_t>(n)});
    content.bytes += static_cast<int64_t>(n);
  }
  NARU_TRY(check_same(fd, path.string(), file_state(info)));
  content.sha256 = hash.finish_hex();
  return content;
}

}  // namespace

Result<FileContent> digest_file(const std::filesystem::path& path, const std::function<bool()>& should_stop) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);  // a FIFO must not block
  if (fd < 0) {
    const int error_number = errno;
    NARU_ASSIGN(const bool is_there, is_anything(path));
    if (is_there) return not_readable_error(path.string(), error_number);
    return Error{Code::kNotFound, fmt::format("reading {}: there is no such file; check the path", path.string())};
  }
  auto content = digest_open(fd, path, should_stop);
  ::close(fd);
  return content;
}

}  // namespace naru
