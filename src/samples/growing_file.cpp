#include "samples/growing_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/file.h"
#include "base/open_file.h"
#include "base/partial.h"

namespace naru::samples {
namespace {

namespace fs = std::filesystem;

Error not_writable(const fs::path& path, int error_number) {
  const bool is_full = is_out_of_space(error_number);
  return {is_full ? Code::kResourceExhausted : Code::kUnavailable,
          fmt::format("writing {}: {}; {}", path.string(), std::strerror(error_number),
                      is_full ? "free some space and run the same command again: it goes on here"
                              : "choose a folder that may be written")};
}

// `from`: the first byte from which on it may be another.
Error is_another(const fs::path& path, int64_t line, int64_t from) {
  return {
      Code::kCorrupt,
      fmt::format("going on with {}: line {}, from byte {} on, is not what was written there: it was edited, or cut "
                  "by a crash of the machine; bring the file back, or begin anew with --start-over, which sets the "
                  "old files aside",
                  path.string(), line, from)};
}

}  // namespace

Result<GrowingFile> GrowingFile::open(const fs::path& path, const FileMark& mark, const EachLine& each) {
  GrowingFile file;
  file.path_ = path;
  NARU_ASSIGN(const bool is_there, is_anything(path));
  if (!is_there && mark.bytes > 0) {
    return Error{
        Code::kNotFound,
        fmt::format("going on with {}: it is not there, and its first {} bytes were written; bring it back, or "
                    "begin anew with --start-over",
                    path.string(), mark.bytes)};
  }
  if (!is_there) return file;
  NARU_ASSIGN(const MappedFile mapped, MappedFile::open(path));
  file.size_ = mapped.size();
  if (mark.bytes == 0) return file;
  if (mapped.size() < mark.bytes) {
    return Error{
        Code::kCorrupt,
        fmt::format("going on with {}: it has {} bytes, its first {} were written; it was cut: bring it back, or "
                    "begin anew with --start-over, which sets the old files aside",
                    path.string(), mapped.size(), mark.bytes)};
  }
  const Bytes proved = mapped.bytes().subspan(0, static_cast<size_t>(mark.bytes));
  file.hash_.update(proved);
  if (file.hash_.hex_so_far() != mark.sha256) {
    return Error{
        Code::kCorrupt,
        fmt::format("going on with {}: its first {} bytes are not those that were written (SHA-256 {} there, {} "
                    "wanted): it was edited; bring the file back, or begin anew with --start-over, which sets "
                    "the old files aside",
                    path.string(), mark.bytes, file.hash_.hex_so_far(), mark.sha256)};
  }
  std::string_view text = as_text(proved);
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    NARU_TRY(each(text.substr(0, end), ++file.n_lines_));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  NARU_TRY(mapped.check_unchanged());
  file.bytes_ = mark.bytes;
  return file;
}

Status GrowingFile::begin() {
  fd_ = OwnedFd(::open(path_.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0644));
  struct stat info {};
  if (fd_.get() < 0 || ::fstat(fd_.get(), &info) != 0) return not_writable(path_, errno);
  if (!S_ISREG(info.st_mode)) {
    return Error{Code::kInvalidArgument,
                 fmt::format("writing {}: it is no regular file; move it away", path_.string())};
  }
  size_ = static_cast<int64_t>(info.st_size);
  return {};
}

Status GrowingFile::append(std::string_view bytes) {
  NARU_CHECK(fd_.get() >= 0 && bytes_ <= size_, bytes_, size_);
  std::string_view left = bytes;
  std::string there;
  while (!left.empty() && bytes_ < size_) {
    there.resize(std::min(left.size(), static_cast<size_t>(size_ - bytes_)));
    const ssize_t n = ::pread(fd_.get(), there.data(), there.size(), bytes_);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return not_readable_error(path_.string(), n < 0 ? errno : EIO);
    const std::string_view found(there.data(), static_cast<size_t>(n));
    if (found != left.substr(0, found.size())) {
      const auto same =
          static_cast<int64_t>(std::mismatch(found.begin(), found.end(), left.begin()).first - found.begin());
      return is_another(path_, n_lines_ + 1, bytes_ + same);
    }
    hash_.update(as_bytes(found));
    bytes_ += n;
    left.remove_prefix(found.size());
  }
  while (!left.empty()) {
    const ssize_t n = ::write(fd_.get(), left.data(), left.size());  // at the end
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return not_writable(path_, n < 0 ? errno : ENOSPC);
    hash_.update(as_bytes(left.substr(0, static_cast<size_t>(n))));
    bytes_ += n;
    size_ = bytes_;
    left.remove_prefix(static_cast<size_t>(n));
  }
  n_lines_ += std::count(bytes.begin(), bytes.end(), '\n');
  return {};
}

Status GrowingFile::sync() {
  if (::fsync(fd_.get()) != 0) return not_writable(path_, errno);
  return {};
}

FileMark GrowingFile::mark() const {
  return {bytes_, hash_.hex_so_far()};
}

Status GrowingFile::check_end() const {
  if (size_ == bytes_) return {};
  return Error{Code::kCorrupt,
               fmt::format("reading {}: bytes stand behind the {} that the run wrote: somebody added to it; take them "
                           "into a file of your own (another [[data]] path), and leave {} bytes here",
                           path_.string(), bytes_, bytes_)};
}

}  // namespace naru::samples
