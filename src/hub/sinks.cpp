#include "hub/sinks.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

#include "base/partial.h"

namespace naru::hub {
namespace {

constexpr std::string_view kPointerStart = "version https://git-lfs.github.com/spec/";
constexpr int64_t kPointerBytesMax = 1024;  // of a git-lfs pointer
constexpr size_t kReadBytes = 4 << 20;
constexpr int kOpenFlags = O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;

}  // namespace

Status TextSink::begin(const AnswerHead& head) {
  text_.clear();
  length_ = head.length;
  return {};
}

Status TextSink::write(Bytes bytes) {
  if (static_cast<int64_t>(text_.size() + bytes.size()) <= bytes_max_) {
    text_ += as_text(bytes);
    return {};
  }
  return Error{Code::kCorrupt,
               fmt::format("pulling {}: the answer has more than {} bytes, the most that is read; check HF_ENDPOINT",
                           what_, bytes_max_)};
}

Error FileSink::failed(std::string_view doing, int error_number) const {
  const bool is_full = is_out_of_space(error_number);
  return {
      is_full ? Code::kResourceExhausted : Code::kUnavailable,
      fmt::format("pulling {}: {}: {} at byte {} of {}; {}", what_, doing, std::strerror(error_number), held_,
                  wanted_.bytes,
                  is_full ? "free some space, or have NARU_MODELS name another disk; the same command goes on where "
                            "it stopped"
                          : "check that the models folder may be written, and its disk")};
}

Error FileSink::wrong_size(int64_t found) const {
  if (first_bytes_.starts_with(kPointerStart)) {
    return {Code::kCorrupt,
            fmt::format("pulling {}: what came is a git-lfs pointer of {} bytes, the file itself was wanted; the "
                        "repository was filled without git-lfs, or this server gives no large files: take another",
                        what_, found)};
  }
  return {Code::kCorrupt,
          fmt::format("pulling {}: the answer has {} bytes, the list says {}; try again, or another server", what_,
                      found, wanted_.bytes)};
}

Result<FileSink> FileSink::open(const std::filesystem::path& path, const PulledFile& file, std::string what,
                                const std::function<bool(int64_t held)>& go_on) {
  FileSink sink(path, file, std::move(what));
  NARU_TRY(sink.open_file());
  NARU_TRY(sink.read_held(go_on));
  if (sink.held_ == sink.wanted_.bytes) {
    NARU_TRY(sink.check_whole());
  }
  sink.fd_ = OwnedFd();
  return sink;
}

Status FileSink::open_file() {
  fd_ = OwnedFd(::open(path_.c_str(), kOpenFlags, 0666));
  struct stat info {};
  if (fd_.get() < 0 || ::fstat(fd_.get(), &info) != 0) return failed("opening the file", errno);
  if (!S_ISREG(info.st_mode)) return failed("opening the file", EEXIST);
  // A file with a second name is one of the model that was pulled before: whole, or none of ours to write to.
  const auto size = static_cast<int64_t>(info.st_size);
  const bool is_shared = info.st_nlink > 1;
  return size > wanted_.bytes || (is_shared && size != wanted_.bytes) ? replace_file() : Status();
}

// Its bytes were hashed before: it must still have as many.
Status FileSink::open_again() {
  const int64_t before = held_;
  NARU_TRY(open_file());
  struct stat info {};
  if (::fstat(fd_.get(), &info) != 0) return failed("opening the file", errno);
  if (held_ == before && static_cast<int64_t>(info.st_size) == before) return {};
  return Error{Code::kUnavailable,
               fmt::format("pulling {}: its file was changed by somebody else meanwhile; try again", what_)};
}

// The file is a new and empty one.
Status FileSink::replace_file() {
  if (::unlink(path_.c_str()) != 0) return failed("removing what is no part of it", errno);
  fd_ = OwnedFd(::open(path_.c_str(), kOpenFlags | O_EXCL, 0666));
  if (fd_.get() < 0) return failed("opening the file", errno);
  held_ = 0;
  n_answers_ = 0;
  first_bytes_.clear();
  digest_ = start_digest(wanted_.hash.kind, wanted_.bytes);
  return {};
}

void FileSink::keep_first(Bytes bytes) {
  first_bytes_ += as_text(bytes).substr(0, static_cast<size_t>(kPointerBytesMax) - first_bytes_.size());
}

Status FileSink::read_held(const std::function<bool(int64_t held)>& go_on) {
  std::vector<std::byte> buffer(kReadBytes);
  while (true) {
    if (!go_on(held_)) return Error{Code::kCancelled, ""};
    const ssize_t n = ::pread(fd_.get(), buffer.data(), buffer.size(), held_);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return failed("reading what is there", errno);
    if (n == 0) break;
    const Bytes bytes(buffer.data(), static_cast<size_t>(std::min<int64_t>(n, wanted_.bytes - held_)));
    if (bytes.empty()) break;
    digest_.update(bytes);
    keep_first(bytes);
    held_ += static_cast<int64_t>(bytes.size());
  }
  is_from_disk_ = held_ > 0;
  return {};
}

Status FileSink::begin(const AnswerHead& head) {
  skip_ = 0;
  odd_length_ = -1;
  if (head.status == 416) {
    const int64_t size = head.range_total >= 0 ? head.range_total : held_;
    return size == wanted_.bytes ? Status() : wrong_size(size);
  }
  if (fd_.get() < 0) NARU_TRY(open_again());
  const bool is_rest = head.status == 206;
  const int64_t total = is_rest ? head.range_total : head.length;
  if (is_rest && head.range_begin != held_) {
    return Error{Code::kCorrupt, fmt::format("pulling {}: the answer begins at byte {}, it was asked for those from {} "
                                             "on; try again, or another server",
                                             what_, head.range_begin, held_)};
  }
  if (total >= 0 && total != wanted_.bytes) {
    if (is_rest || total > kPointerBytesMax) return wrong_size(total);
    odd_length_ = total;
    first_bytes_.clear();
    return {};
  }
  if (!is_rest) skip_ = held_;
  ++n_answers_;
  return {};
}

Status FileSink::write(Bytes bytes) {
  if (odd_length_ >= 0) {
    keep_first(bytes);
    return {};
  }
  const auto skipped = static_cast<size_t>(std::min<int64_t>(skip_, static_cast<int64_t>(bytes.size())));
  skip_ -= static_cast<int64_t>(skipped);
  bytes = bytes.subspan(skipped);
  if (held_ + static_cast<int64_t>(bytes.size()) > wanted_.bytes) {
    return wrong_size(held_ + static_cast<int64_t>(bytes.size()));
  }
  while (!bytes.empty()) {
    const ssize_t n = ::pwrite(fd_.get(), bytes.data(), bytes.size(), held_);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return failed("writing", errno);
    const Bytes written = bytes.first(static_cast<size_t>(n));
    digest_.update(written);
    keep_first(written);
    held_ += static_cast<int64_t>(n);
    bytes = bytes.subspan(static_cast<size_t>(n));
  }
  return {};
}

Result<bool> FileSink::finish() {
  if (odd_length_ >= 0) return wrong_size(odd_length_);
  if (held_ == wanted_.bytes) return check_whole();
  const bool is_pointer = held_ <= kPointerBytesMax && first_bytes_.starts_with(kPointerStart);
  if (!is_pointer) return false;
  Error error = wrong_size(held_);
  NARU_TRY(replace_file());
  return error;
}

// True: whole and right. False: it is empty now, to be fetched once more.
Result<bool> FileSink::check_whole() {
  const std::string found = digest_.finish_hex();
  if (found != wanted_.hash.hex) {
    const bool is_last = was_wrong_ || (n_answers_ == 1 && !is_from_disk_);
    NARU_TRY(replace_file());
    is_from_disk_ = false;
    was_wrong_ = true;
    if (!is_last) return false;
    return Error{Code::kCorrupt, fmt::format("pulling {}: its {} is {}, the list says {}; try again, or another server",
                                             what_, hash_name(wanted_.hash.kind), found, wanted_.hash.hex)};
  }
  if (wanted_.bytes <= kPointerBytesMax && first_bytes_.starts_with(kPointerStart)) {
    Error error = wrong_size(held_);
    NARU_TRY(replace_file());
    return error;
  }
  if (::fsync(fd_.get()) != 0) return failed("syncing to disk", errno);
  fd_ = OwnedFd();
  is_whole_ = true;
  return true;
}

}  // namespace naru::hub
