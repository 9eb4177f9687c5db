#include "base/file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <optional>
#include <system_error>
#include <utility>

#include "base/builtin_file.h"
#include "base/folder.h"
#include "base/open_file.h"

namespace naru {
namespace {

Error open_error(const std::filesystem::path& path, int error_number) {
  const Code code = error_number == ENOENT || error_number == ENOTDIR ? Code::kNotFound : Code::kUnavailable;
  const char* next = code == Code::kNotFound ? "check the path" : "check that it may be read";
  return {code, fmt::format("opening {}: {}; {}", path.string(), std::strerror(error_number), next)};
}

// Opens a regular file without ever blocking on a FIFO; on success `info` is what it is.
Result<int> open_regular(const std::filesystem::path& path, struct stat* info) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return open_error(path, errno);
  if (::fstat(fd, info) != 0) {
    const int error_number = errno;
    ::close(fd);
    return open_error(path, error_number);
  }
  if (!S_ISREG(info->st_mode)) {
    ::close(fd);
    return Error{Code::kInvalidArgument,
                 fmt::format("opening {}: it is {}, a regular file was wanted; give the path of the file itself",
                             path.string(), S_ISDIR(info->st_mode) ? "a folder" : "not a regular file")};
  }
  return fd;
}

// --- the place of an output -----------------------------------------------------------------------------------------

// `doing` is "" or ends in ": ".
Error write_error(const std::filesystem::path& path, int error_number, std::string_view doing = "") {
  const bool is_full = is_out_of_space(error_number);
  const bool is_missing = error_number == ENOENT || error_number == ENOTDIR;
  const Code code = is_full ? Code::kResourceExhausted : is_missing ? Code::kNotFound : Code::kUnavailable;
  return {code, fmt::format("writing {}: {}{}; {}", path.string(), doing, std::strerror(error_number),
                            is_full               ? "free some space or choose another place"
                            : error_number == EIO ? "check the disk"
                                                  : "choose a folder that exists and may be written")};
}

Error is_there_already(const std::filesystem::path& path) {
  return {Code::kInvalidArgument,
          fmt::format("writing {}: there is a file of that name already; choose another name, or replace it with "
                      "--force",
                      path.string())};
}

std::string_view kind_of(mode_t mode) {
  if (S_ISDIR(mode)) return "a folder";
  if (S_ISFIFO(mode)) return "a pipe";
  if (S_ISSOCK(mode)) return "a socket";
  return "a device";
}

struct FilePlace {
  std::filesystem::path path;           // no link
  std::optional<struct stat> old = {};  // what is there
};

Result<FilePlace> look_at_place(const std::filesystem::path& path, Existing existing) {
  if (!path.has_filename()) {
    return Error{Code::kInvalidArgument,
                 fmt::format("writing '{}': it names no file; give the name of a file", path.string())};
  }
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0) {
    if (errno == ENOENT) return FilePlace{path};
    return write_error(path, errno);
  }
  const bool is_link = S_ISLNK(info.st_mode);
  if (is_link && ::stat(path.c_str(), &info) != 0) {
    return Error{Code::kInvalidArgument,
                 fmt::format("writing {}: it is a link that leads nowhere: {}; choose another name", path.string(),
                             std::strerror(errno))};
  }
  if (!S_ISREG(info.st_mode)) {
    return Error{Code::kInvalidArgument,
                 fmt::format("writing {}: there is {} of that name, a file was wanted; choose another name",
                             path.string(), kind_of(info.st_mode))};
  }
  if (existing == Existing::kRefuse) return is_there_already(path);
  FilePlace place{path, info};
  if (is_link) {
    std::error_code code;
    place.path = std::filesystem::canonical(path, code);
    if (code) return write_error(path, code.value());
  }
  if (::faccessat(AT_FDCWD, place.path.c_str(), W_OK, AT_EACCESS) != 0) {
    return Error{
        Code::kUnavailable,
        fmt::format("writing {}: there is a file of that name that may not be written: {}; choose another name "
                    "or change its mode",
                    path.string(), std::strerror(errno))};
  }
  return place;
}

// The new file as the old one was: a group that it cannot have gets no rights by it.
void take_mode(int fd, const struct stat& old) {
  struct stat now {};
  if (::fstat(fd, &now) != 0) return;
  mode_t mode = old.st_mode & 0777;
  const bool is_other = now.st_uid != old.st_uid || now.st_gid != old.st_gid;
  if (is_other && ::fchown(fd, old.st_uid, old.st_gid) != 0 && ::fchown(fd, static_cast<uid_t>(-1), old.st_gid) != 0 &&
      now.st_gid != old.st_gid) {
    mode &= 0707;
  }
  (void)!::fchmod(fd, mode);
}

// 0 or errno. Never replaces anything.
int rename_to_nothing(const char* from, const char* to) {
  if (::renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0) return 0;
  if (errno != EINVAL && errno != ENOSYS) return errno;
  // A file system that cannot promise it in one call: a second name is as good.
  if (::link(from, to) != 0) return errno;
  (void)!::unlink(from);
  return 0;
}

}  // namespace

Result<MappedFile> MappedFile::open(const std::filesystem::path& path) {
  MappedFile file;
  file.path_ = path;
  if (is_builtin_path(path)) {
    NARU_ASSIGN(const Bytes bytes, builtin_file_bytes(path));
    file.data_ = bytes.data();
    file.size_ = std::ssize(bytes);
    return file;
  }
  struct stat info {};
  NARU_ASSIGN(file.fd_, open_regular(path, &info));
  file.size_ = static_cast<int64_t>(info.st_size);
  file.changed_ns_ = file_state(info).changed_ns;
  if (file.size_ > 0) {
    void* data = ::mmap(nullptr, static_cast<size_t>(file.size_), PROT_READ, MAP_PRIVATE, file.fd_, 0);
    if (data == MAP_FAILED) {
      return Error{Code::kResourceExhausted, fmt::format("mapping {}: {} bytes: {}; free memory or address space",
                                                         path.string(), file.size_, std::strerror(errno))};
    }
    file.data_ = static_cast<const std::byte*>(data);
    file.mapping_ = add_mapping(file.data_, file.size_, file.fd_, path);
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
    changed_ns_ = other.changed_ns_;
    fd_ = std::exchange(other.fd_, -1);
    mapping_ = std::exchange(other.mapping_, nullptr);
  }
  return *this;
}

MappedFile::~MappedFile() {
  close();
}

void MappedFile::close() noexcept {
  if (mapping_ != nullptr) remove_mapping(mapping_);
  if (data_ != nullptr && fd_ >= 0) ::munmap(const_cast<std::byte*>(data_), static_cast<size_t>(size_));
  if (fd_ >= 0) ::close(fd_);
  mapping_ = nullptr;
  data_ = nullptr;
  fd_ = -1;
}

void MappedFile::drop_pages(int64_t offset, int64_t size) const {
  if (data_ == nullptr || fd_ < 0 || size <= 0) return;
  const int64_t page = ::sysconf(_SC_PAGESIZE);
  const int64_t begin = (offset + page - 1) / page * page;
  const int64_t end = (offset + size) / page * page;
  if (begin >= end || end > (size_ + page - 1) / page * page) return;
  ::madvise(const_cast<std::byte*>(data_) + begin, static_cast<size_t>(end - begin), MADV_DONTNEED);
}

Status MappedFile::check_unchanged() const {
  if (fd_ < 0) return {};  // inside of the program
  return check_same(fd_, path_.string(), {size_, changed_ns_});
}

Result<std::string> read_file(const std::filesystem::path& path, int64_t bytes_max) {
  struct stat info {};
  NARU_ASSIGN(const int fd, open_regular(path, &info));
  const auto size = static_cast<int64_t>(info.st_size);
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
    if (n == 0) break;  // shortened, which the look at the end finds
    done += static_cast<size_t>(n);
  }
  const Status same = check_same(fd, path.string(), file_state(info));
  ::close(fd);
  NARU_TRY(same);
  if (done == text.size()) return text;
  return Error{Code::kUnavailable,
               fmt::format("reading {}: it ended at byte {} of {}; let what writes it finish and try again",
                           path.string(), done, text.size())};
}

Result<AtomicFile> AtomicFile::create(const std::filesystem::path& path, Existing existing) {
  NARU_ASSIGN(FilePlace place, look_at_place(path, existing));
  auto partial = Partial::create(place.path, Partial::Kind::kFile, place.old ? 0600 : 0666);
  if (!partial.ok()) {
    const Error& error = partial.error();
    return Error{error.code, fmt::format("writing {}: {}; {}", path.string(), error.message,
                                         error.code == Code::kResourceExhausted
                                             ? "free some space or choose another place"
                                             : "choose a folder that exists and may be written")};
  }
  if (place.old) take_mode(partial->fd(), *place.old);
  return AtomicFile(std::move(place.path), existing, std::move(partial).value());
}

Status AtomicFile::write(Bytes bytes) {
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t n = ::write(partial_.fd(), bytes.data() + done, bytes.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EFAULT) {  // the bytes are of a mapping, which the system reads for us: no signal comes
      return Error{
          Code::kUnavailable,
          fmt::format("writing {}: the bytes to write cannot be read any more: the file that they come from was "
                      "shortened, or its disk failed; bring it back and try again",
                      path_.string())};
    }
    if (n < 0) return write_error(path_, errno);
    done += static_cast<size_t>(n);
  }
  return {};
}

Status AtomicFile::commit() {
  if (::fsync(partial_.fd()) != 0) return write_error(path_, errno, "syncing to disk: ");
  int error_number = 0;
  if (existing_ == Existing::kRefuse) {
    error_number = rename_to_nothing(partial_.path().c_str(), path_.c_str());
    if (error_number == EEXIST) return is_there_already(path_);
  } else {
    NARU_TRY(look_at_place(path_, existing_));
    error_number = ::rename(partial_.path().c_str(), path_.c_str()) == 0 ? 0 : errno;
  }
  if (error_number != 0) return write_error(path_, error_number, "renaming the finished file: ");
  partial_.release();
  return sync_folder(path_.parent_path().empty() ? std::filesystem::path(".") : path_.parent_path());
}

}  // namespace naru
