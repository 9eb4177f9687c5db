// Files: read-only mappings, whole small files, and writes that are either complete or not there.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/result.h"

namespace naru {

inline constexpr std::string_view kPartialMark = ".partial-";  // in the names of unfinished files and folders

// A regular file mapped read-only. The mapping stays valid as long as the object lives; the file must not be
// shortened meanwhile. Opening anything that is not a regular file (a FIFO, a device, a folder) is an error.
class MappedFile {
 public:
  static Result<MappedFile> open(const std::filesystem::path& path);
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile();

  Bytes bytes() const { return {data_, static_cast<size_t>(size_)}; }
  int64_t size() const { return size_; }
  const std::filesystem::path& path() const { return path_; }

  // Tells the system that these pages will not be read again soon, so that they stop counting as ours.
  void drop_pages(int64_t offset, int64_t size) const;
  // True while the file on disk still has the length it was mapped with.
  bool length_unchanged() const;

 private:
  MappedFile() = default;
  void close() noexcept;
  std::filesystem::path path_;
  const std::byte* data_ = nullptr;
  int64_t size_ = 0;
  int fd_ = -1;
};

// The whole of a regular file of at most `bytes_max` bytes.
Result<std::string> read_file(const std::filesystem::path& path, int64_t bytes_max);

// Writes under a temporary name beside `path`, syncs, then renames: a reader sees the old file or the whole new one.
class AtomicFile {
 public:
  static Result<AtomicFile> create(const std::filesystem::path& path);
  AtomicFile(AtomicFile&& other) noexcept;
  AtomicFile& operator=(AtomicFile&&) = delete;
  ~AtomicFile();  // removes the temporary file unless commit() succeeded

  Status write(Bytes bytes);
  Status commit();

 private:
  AtomicFile() = default;
  std::filesystem::path path_;
  std::filesystem::path temporary_;
  int fd_ = -1;
};

}  // namespace naru
