// A file that only grows: a record is written whole or taken back, and what a killed program left half-written is cut
// off when the file is opened again.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>

#include "base/result.h"

namespace naru::train {

class AppendFile {
 public:
  AppendFile() = default;
  static Result<AppendFile> open(const std::filesystem::path& path);
  AppendFile(AppendFile&& other) noexcept;
  AppendFile& operator=(AppendFile&& other) noexcept;
  ~AppendFile();

  bool is_open() const { return fd_ >= 0; }
  Status append(std::string_view record);

 private:
  std::filesystem::path path_;
  int fd_ = -1;
  int64_t size_ = 0;
};

// Cuts lines off the end of a file of JSON lines until its last one is whole: ends with a newline and is an object.
// A file that is not there is fine. Returns the bytes cut.
Result<int64_t> mend_lines(const std::filesystem::path& path);

}  // namespace naru::train
