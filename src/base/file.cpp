#include "base/file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace naru {
namespace {

Error open_error(const std::filesystem::path& path, int error_number) {
  const Code code = error_number == ENOENT || error_number == ENOTDIR ? Code::kNotFound : Code::kUnavailable;
  const char* next = code == Code::kNotFound ? "check the path" : "check that it may be read";
  return {code, fmt::format("opening {}: {}; {}", path.string(), std::strerror(error_number), next)};
}

// Opens a regular file without ever blocking on a FIFO; on success `size` is its length.
Result<int> open_regular(const std::filesystem::path& path, int64_t* size) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return open_error(path, errno);
  struct stat info {};
  if (::fstat(fd, &info) != 0) {
    const int error_number = errno;
    ::close(fd);
    return open_error(path, error_number);
  }
  if (!S_ISREG(info.st_mode)) {
    ::close(fd);
    return Error{Code::kInvalidArgument,
                 fmt::format("opening {}: it is {}, a regular file was wanted; give the path of the file itself",
                             path.string(), S_ISDIR(info.st_mode) ? "a folder" : "not a regular file")};
  }
  *size = static_cast<int64_t>(info.st_size);
  return fd;
}

}  // namespace

Result<MappedFile> MappedFile::open(const std::filesystem::path& path) {
  MappedFile file;
  file.path_ = path;
  NARU_ASSIGN(file.fd_, open_regular(path, &file.size_));
  if (file.size_ > 0) {
    void* data = ::mmap(nullptr, static_cast<size_t>(file.size_), PROT_READ, MAP_PRIVATE, file.fd_, 0);
    if (data == MAP_FAILED) {
      return Error{Code::kResourceExhausted, fmt::format("mapping {}: {} bytes: {}; free memory or address space",
                                                         path.string(), file.size_, std::strerror(errno))};
    }
    file.data_ = static_cast<const std::byte*>(data);
  }
  return file;
}

MappedFile::MappedFile(MappedFile&& other) noexcept {
  *this = std::move(other);
}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  if (this != &other) {
    close();
    path_ = std::move(other.path_);
    data_ = std::exchange(other.data_, nullptr);
    size_ = std::exchange(other.size_, 0);
    fd_ = std::exchange(other.fd_, -1);
  }
  return *this;
}

MappedFile::~MappedFile() {
  close();
}

void MappedFile::close() noexcept {
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), static_cast<size_t>(size_));
  if (fd_ >= 0) ::close(fd_);
  data_ = nullptr;
  fd_ = -1;
}

void MappedFile::drop_pages(int64_t offset, int64_t size) const {
  if (data_ == nullptr || size <= 0) return;
  const int64_t page = ::sysconf(_SC_PAGESIZE);
  const int64_t begin = (offset + page - 1) / page * page;
  const int64_t end = (offset + size) / page * page;
  if (begin >= end || end > (size_ + page - 1) / page * page) return;
  ::madvise(const_cast<std::byte*>(data_) + begin, static_cast<size_t>(end - begin), MADV_DONTNEED);
}

bool MappedFile::length_unchanged() const {
  struct stat info {};
  return fd_ >= 0 && ::fstat(fd_, &info) == 0 && static_cast<int64_t>(info.st_size) == size_;
}

Result<std::string> read_file(const std::filesystem::path& path, int64_t bytes_max) {
  int64_t size = 0;
  NARU_ASSIGN(const int fd, open_regular(path, &size));
  if (size > bytes_max) {
    ::close(fd);
    return Error{Code::kCorrupt,
                 fmt::format("reading {}: it has {} bytes and at most {} were expected; is it the right file?",
                             path.string(), size, bytes_max)};
  }
  std::string text(static_cast<size_t>(size), '\0');
  size_t done = 0;
  while (done < text.size()) {
    const ssize_t n = ::read(fd, text.data() + done, text.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      const int error_number = errno;
      ::close(fd);
      return Error{Code::kUnavailable, fmt::format("reading {}: at byte {}: {}; check the disk", path.string(), done,
                                                   std::strerror(error_number))};
    }
    if (n == 0) break;
    done += static_cast<size_t>(n);
  }
  ::close(fd);
  text.resize(done);
  return text;
}

Result<AtomicFile> AtomicFile::create(const std::filesystem::path& path) {
  AtomicFile file;
  file.path_ = path;
  file.temporary_ = path;
  file.temporary_ += fmt::format("{}{}", kPartialMark, ::getpid());
  file.fd_ = ::open(file.temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (file.fd_ < 0) {
    const int error_number = errno;
    file.temporary_.clear();
    return Error{error_number == ENOENT ? Code::kNotFound : Code::kUnavailable,
                 fmt::format("writing {}: {}; choose a folder that exists and may be written", path.string(),
                             std::strerror(error_number))};
  }
  return file;
}

AtomicFile::AtomicFile(AtomicFile&& other) noexcept
    : path_(std::move(other.path_)), temporary_(std::move(other.temporary_)), fd_(std::exchange(other.fd_, -1)) {
  other.temporary_.clear();
}

AtomicFile::~AtomicFile() {
  if (fd_ >= 0) ::close(fd_);
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

Status AtomicFile::write(Bytes bytes) {
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t n = ::write(fd_, bytes.data() + done, bytes.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      return Error{
          errno == ENOSPC || errno == EDQUOT ? Code::kResourceExhausted : Code::kUnavailable,
          fmt::format("writing {}: {}; free some space or choose another place", path_.string(), std::strerror(errno))};
    }
    done += static_cast<size_t>(n);
  }
  return {};
}

Status AtomicFile::commit() {
  const bool synced = ::fsync(fd_) == 0;
  const int sync_error = errno;
  const bool closed = ::close(fd_) == 0;
  fd_ = -1;
  if (!synced || !closed) {
    return Error{Code::kUnavailable, fmt::format("writing {}: syncing to disk: {}; check the disk", path_.string(),
                                                 std::strerror(synced ? errno : sync_error))};
  }
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) {
    return Error{Code::kUnavailable, fmt::format("writing {}: renaming the finished file: {}; choose another place",
                                                 path_.string(), std::strerror(errno))};
  }
  temporary_.clear();
  std::filesystem::path parent = path_.parent_path();
  if (parent.empty()) parent = ".";
  const int folder = ::open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder >= 0) {
    ::fsync(folder);
    ::close(folder);
  }
  return {};
}

}  // namespace naru
