#include "train/append_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/file.h"
#include "train/json_lines.h"

namespace naru::train {
namespace {

Error write_error(const std::filesystem::path& path, int error_number) {
  const bool is_full = error_number == ENOSPC || error_number == EDQUOT;
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

Result<int64_t> mend_lines(const std::filesystem::path& path) {
  std::error_code error;
  if (!std::filesystem::exists(path, error)) return int64_t{0};
  int64_t size = 0;
  int64_t good = 0;
  {
    NARU_ASSIGN(const MappedFile file, MappedFile::open(path));
    const std::string_view text = as_text(file.bytes());
    size = file.size();
    size_t end = text.rfind('\n') == std::string_view::npos ? 0 : text.rfind('\n') + 1;
    while (end > 0) {
      const size_t before = end < 2 ? std::string_view::npos : text.rfind('\n', end - 2);
      const size_t begin = before == std::string_view::npos ? 0 : before + 1;
      if (parse_json_line(text.substr(begin, end - 1 - begin))) break;
      end = begin;
    }
    good = static_cast<int64_t>(end);
  }
  if (good < size && ::truncate(path.c_str(), good) != 0) return write_error(path, errno);
  return size - good;
}

}  // namespace naru::train
