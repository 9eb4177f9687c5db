// SHA-256 and length of a file, read from front to back and not mapped: a disk that fails is an error here, never a
// signal. What is not there is told from what cannot be read (is it damaged, or only out of reach?).
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

#include "base/open_file.h"
#include "base/result.h"

namespace naru {

struct FileContent {
  int64_t bytes = 0;
  std::string sha256;
};

// kNotFound only where nothing at all has the name: a link to nowhere is kUnavailable, as its disk may come back,
// and so is a file that is written to meanwhile. `should_stop` is asked between two pieces: kCancelled where it says
// so.
Result<FileContent> digest_file(const std::filesystem::path& path, const std::function<bool()>& should_stop = {});

}  // namespace naru
