// LineReader: the lines of a file, one at a time, in memory bounded by the longest line, not by the file.
//
// A line ends with \n (a \r before it is left out) or with the file. A line above kDataLineBytesMax is an error that
// names the line. A file that is written to or shortened before its end was reached is an error there. In text mode a
// "line" is a block instead: some whole lines, up to about a mebibyte.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "base/open_file.h"
#include "base/result.h"
#include "base/sha256.h"

namespace naru::data {

class LineReader {
 public:
  // `name` is how messages call the file.
  static Result<LineReader> open(const std::filesystem::path& path, std::string name);
  LineReader(LineReader&& other) noexcept;
  LineReader& operator=(LineReader&&) = delete;
  ~LineReader();

  // The first bytes that were not given out yet, at least n of them unless the file ends; they stay to be given out.
  Result<std::string_view> peek(size_t n);
  // The next line without its end; nothing at the end of the file. Valid until the next call.
  Result<std::optional<std::string_view>> next_line();
  // The next stretch of the file with its line ends: the whole rest where that is short, else up to the last line end
  // inside kBlockBytes that stands between two characters that are no white space (where every known way of splitting
  // text into pieces splits too, so that the ids are those of the whole), else up to the last line end, else up to
  // the last whole character. Nothing at the end.
  Result<std::optional<std::string_view>> next_block();

  int64_t line() const { return line_; }  // number of the line (or of the first line of the block) given last; from 1
  int64_t bytes_read() const { return bytes_read_; }
  // Of all bytes read, which are those of the file once its end was reached; once.
  std::string sha256() { return hash_.finish_hex(); }

  static constexpr int64_t kBlockBytes = 1 << 20;

 private:
  LineReader(int fd, std::string name) : fd_(fd), name_(std::move(name)) {}
  Status fill(size_t wanted);  // until buffer_ holds `wanted` bytes behind begin_, or the file ends

  int fd_;
  std::string name_;
  FileState before_;  // when it was opened
  std::string buffer_;
  size_t begin_ = 0;  // of what was not given out yet
  bool is_end_ = false;
  int64_t line_ = 0;
  int64_t lines_given_ = 0;
  int64_t bytes_read_ = 0;
  Sha256 hash_;
};

}  // namespace naru::data
