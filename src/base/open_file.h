// What is known of a file besides its bytes: whether there is one, and whether an open one is still as it was.
#pragma once

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

// Whether anything has the name, a link to nowhere too. Where that cannot be told, what not_readable_error() says.
Result<bool> is_anything(const std::filesystem::path& path);

// Of errno after an open or a read: kResourceExhausted where descriptors or memory ran out, else kUnavailable.
Error not_readable_error(std::string_view name, int error_number);

}  // namespace naru
