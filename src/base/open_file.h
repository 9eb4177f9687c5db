// Files that are open for reading: regular ones only, and whether one is still what it was when it was opened.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <string_view>

#include "base/result.h"

struct stat;

namespace naru {

// What shows that somebody wrote to a file: its length or the time of its last change is another.
struct FileState {
  int64_t size = 0;
  int64_t changed_ns = 0;
};
FileState file_state(const struct stat& info);

// kUnavailable where the open file `fd`, which messages call `name`, is not as it was: the bytes that were read since
// may be of two different files.
Status check_same(int fd, std::string_view name, const FileState& before);

}  // namespace naru
