#include "runs/append_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/partial.h"

namespace naru::runs {
namespace {

Error write_error(const std::filesystem::path& path, int error_number) {
  const bool is_full = is_out_of_space(error_number);
  return {is_full ? Code::kResourceExhausted : Code::kUnavailable,
          fmt::format("writing {}: {}; {}", path.string(), std::strerror(error_number),
                      is_full ? "free some space and start again: the run goes on from its last checkpoint"
                              : "choose a folder that may be written")};
}

}  // namespace

Result<AppendFile> AppendFile::open(const std::filesystem::path& path) {
  AppendFile file;
  file.path_ = path;
  file.fd_ = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  struct stat info {};
  if (file.fd_ < 0 || ::fstat(file.fd_, &info) != 0) return write_error(path, errno);
  file.size_ = static_cast<int64_t>(info.st_size);
  return file;
}

AppendFile::AppendFile(AppendFile&& other) noexcept {
  *this = std::move(other);
}

AppendFile& AppendFile::operator=(AppendFile&& other) noexcept {
  if (this != &other) {
    if (fd_ >= 0) ::close(fd_);
    path_ = std::move(other.path_);
    fd_ = std::exchange(other.fd_, -1);
    size_ = std::exchange(other.size_, 0);
  }
  return *this;
}

AppendFile::~AppendFile() {
  if (fd_ >= 0) ::close(fd_);
}

Status AppendFile::append(std::string_view record) {
  size_t done = 0;
  while (done < record.size()) {
    const ssize_t n = ::write(fd_, record.data() + done, record.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      const int error_number = errno;
      if (done > 0) (void)!::ftruncate(fd_, size_);
      return write_error(path_, error_number);
    }
    done += static_cast<size_t>(n);
  }
  size_ += static_cast<int64_t>(record.size());
  return {};
}

Status AppendFile::sync() {
  if (::fsync(fd_) != 0) return write_error(path_, errno);
  return {};
}

}  // namespace naru::runs
