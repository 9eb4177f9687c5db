// FileStamp: which file a name stands for, and when it was last written. Equal stamps: what was read of it still holds.
#pragma once

#include <cstdint>
#include <filesystem>

namespace naru::runs {

struct FileStamp {
  uint64_t device = 0, inode = 0;
  int64_t size = -1;  // -1: there is none
  int64_t written_ns = 0, changed_ns = 0;

  bool operator==(const FileStamp&) const = default;
};

// Of what the name stands for; links are followed.
FileStamp stamp_of(const std::filesystem::path& path);

}  // namespace naru::runs
