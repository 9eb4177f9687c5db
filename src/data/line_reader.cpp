#include "data/line_reader.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "data/limits.h"

namespace naru::data {
namespace {

constexpr size_t kReadBytes = size_t{1} << 18;

bool is_space(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\v' || c == '\f';
}

// Where a block ends best inside `text`, which goes on behind it.
size_t block_end(std::string_view text) {
  size_t line_end = 0;
  for (size_t i = text.size() - 1; i-- > 1;) {
    if (text[i] != '\n') continue;
    if (line_end == 0) line_end = i + 1;
    if (!is_space(text[i - 1]) && !is_space(text[i + 1])) return i + 1;
  }
  if (line_end > 0) return line_end;
  size_t end = text.size() - 1;
  while (text.size() - end < 4 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  return end;
}

}  // namespace

Result<LineReader> LineReader::open(const std::filesystem::path& path, std::string name) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);  // a FIFO must not block
  if (fd < 0) {
    const int error_number = errno;
    return Error{error_number == ENOENT ? Code::kNotFound : Code::kUnavailable,
                 fmt::format("reading {}: {}; check the path", name, std::strerror(error_number))};
  }
  LineReader reader(fd, std::move(name));
  struct stat info {};
  if (::fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
    return Error{Code::kInvalidArgument,
                 fmt::format("reading {}: it is no regular file, a .txt or .jsonl file was wanted; check the path",
                             reader.name_)};
  }
  reader.before_ = file_state(info);
  return reader;
}

LineReader::LineReader(LineReader&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)),
      name_(std::move(other.name_)),
      before_(other.before_),
      buffer_(std::move(other.buffer_)),
      begin_(other.begin_),
      is_end_(other.is_end_),
      line_(other.line_),
      lines_given_(other.lines_given_),
      bytes_read_(other.bytes_read_),
      hash_(std::move(other.hash_)) {}

LineReader::~LineReader() {
  if (fd_ >= 0) ::close(fd_);
}

Status LineReader::fill(size_t wanted) {
  while (!is_end_ && buffer_.size() - begin_ < wanted) {
    if (begin_ > 0) {
      buffer_.erase(0, begin_);
      begin_ = 0;
    }
    const size_t size = buffer_.size();
    buffer_.resize(size + kReadBytes);
    const ssize_t n = ::read(fd_, buffer_.data() + size, kReadBytes);
    const int error_number = errno;
    buffer_.resize(size + static_cast<size_t>(n > 0 ? n : 0));
    if (n < 0 && error_number == EINTR) continue;
    if (n < 0) {
      return Error{Code::kUnavailable, fmt::format("reading {}: at byte {}: {}; check the disk", name_, bytes_read_,
                                                   std::strerror(error_number))};
    }
    if (n == 0) {
      NARU_TRY(check_same(fd_, name_, before_));
      is_end_ = true;
    }
    bytes_read_ += n;
    hash_.update(as_bytes(std::string_view(buffer_).substr(size)));
  }
  return {};
}

Result<std::string_view> LineReader::peek(size_t n) {
  NARU_TRY(fill(n));
  return std::string_view(buffer_).substr(begin_);
}

Result<std::optional<std::string_view>> LineReader::next_line() {
  size_t length = 0;  // bytes of the line known to hold no \n
  while (true) {
    NARU_TRY(fill(length + 1));
    const std::string_view rest = std::string_view(buffer_).substr(begin_);
    const size_t found = rest.find('\n', length);
    const bool is_whole = found != std::string_view::npos;
    length = is_whole ? found : rest.size();
    if (length > static_cast<size_t>(kDataLineBytesMax)) {
      return Error{
          Code::kResourceExhausted,
          fmt::format("reading {}:{}: the line has more than {} bytes, the most that one line may have; cut it "
                      "into several",
                      name_, lines_given_ + 1, kDataLineBytesMax)};
    }
    if (!is_whole && !is_end_) continue;
    if (rest.empty()) return std::optional<std::string_view>();
    line_ = ++lines_given_;
    begin_ += length + (is_whole ? 1 : 0);
    std::string_view line = rest.substr(0, length);
    if (line.ends_with('\r')) line.remove_suffix(1);
    return std::optional<std::string_view>(line);
  }
}

Result<std::optional<std::string_view>> LineReader::next_block() {
  NARU_TRY(fill(static_cast<size_t>(kBlockBytes)));
  std::string_view block = std::string_view(buffer_).substr(begin_);
  if (block.empty()) return std::optional<std::string_view>();
  if (block.size() >= static_cast<size_t>(kBlockBytes)) {
    block = block.substr(0, block_end(block.substr(0, static_cast<size_t>(kBlockBytes))));
  }
  begin_ += block.size();
  line_ = lines_given_ + 1;
  lines_given_ += std::count(block.begin(), block.end(), '\n');
  return std::optional<std::string_view>(block);
}

}  // namespace naru::data
