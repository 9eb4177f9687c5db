// Files: read-only mappings, whole small files, and writes that are either complete or not there.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "base/bytes.h"
#include "base/mapping_faults.h"
#include "base/partial.h"
#include "base/result.h"

namespace naru {

// A regular file mapped read-only, for as long as the object lives. Where its bytes cannot be read any more, what
// base/mapping_faults.h says happens. Opening anything that is not a regular file (a FIFO, a device, a folder) is an
// error. A path of a file inside of the program (base/builtin_file.h) gives its bytes, which no disk can take away.
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
  // kUnavailable where the file no longer has the length or the time of its last change that it was mapped with: the
  // bytes that were read since may be of two different files.
  Status check_unchanged() const;

 private:
  MappedFile() = default;
  void close() noexcept;
  std::filesystem::path path_;
  const std::byte* data_ = nullptr;
  int64_t size_ = 0;
  int64_t changed_ns_ = 0;  // the time of the last change, when it was opened
  int fd_ = -1;             // none: bytes of the program
  Mapping* mapping_ = nullptr;
};

// The whole of a regular file of at most `bytes_max` bytes; kUnavailable where it changed while it was read.
Result<std::string> read_file(const std::filesystem::path& path, int64_t bytes_max);

// What happens to an output that is there already.
enum class Existing : uint8_t {
  kReplace,  // its place is taken in one step when the new one is whole
  kRefuse,   // kInvalidArgument, at the start and again at the end; nothing is replaced
};

// Writes under a temporary name beside `path`, syncs, then renames: a reader sees the old file or the whole new one.
// Only a regular file is ever replaced: a folder, a device, a pipe or a socket is refused. A link is followed: the file
// that it names is replaced, and the link stays; one that leads nowhere is refused. The new file has the mode and,
// where the system allows it, the owner of the old one; else the mode that the umask leaves.
class AtomicFile {
 public:
  static Result<AtomicFile> create(const std::filesystem::path& path, Existing existing = Existing::kReplace);

  Status write(Bytes bytes);
  const std::filesystem::path& path() const { return path_; }
  // What was written so far, to be looked at before commit().
  const std::filesystem::path& temporary_path() const { return partial_.path(); }
  Status commit();  // without it nothing stays

 private:
  AtomicFile(std::filesystem::path path, Existing existing, Partial partial)
      : path_(std::move(path)), existing_(existing), partial_(std::move(partial)) {}
  std::filesystem::path path_;
  Existing existing_;
  Partial partial_;
};

}  // namespace naru
