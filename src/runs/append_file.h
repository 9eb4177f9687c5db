// A file that only grows: a record is written whole or taken back. What a killed program left half-written is dealt
// with by whoever knows the records (run_lines.h).
#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>

#include "base/result.h"

namespace naru::runs {

class AppendFile {
 public:
  AppendFile() = default;
  static Result<AppendFile> open(const std::filesystem::path& path);
  AppendFile(AppendFile&& other) noexcept;
  AppendFile& operator=(AppendFile&& other) noexcept;
  ~AppendFile();

  bool is_open() const { return fd_ >= 0; }
  int64_t size() const { return size_; }  // bytes
  Status append(std::string_view record);
  Status sync();  // what was appended is on disk when it returns

 private:
  std::filesystem::path path_;
  int fd_ = -1;
  int64_t size_ = 0;
};

}  // namespace naru::runs
