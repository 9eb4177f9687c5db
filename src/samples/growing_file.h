// GrowingFile: a file of lines that is made again from its start to its end in one way only, and may lie there from
// before. Bytes up to a mark that was written down are proved by their SHA-256; bytes behind it, which a killed program
// left (a last line cut in two, maybe), are compared with those that come anew. So nothing that lies there is ever cut
// off or written over: what is other than what comes is an error that says where.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

#include "base/owned_fd.h"
#include "base/result.h"
#include "base/sha256.h"

namespace naru::samples {

// How far a file was when that was written down.
struct FileMark {
  int64_t bytes = 0;
  std::string sha256;  // of them
};

class GrowingFile {
 public:
  using EachLine = std::function<Status(std::string_view line, int64_t number)>;  // without its end; from 1

  // Proves the bytes up to the mark and gives their lines to `each`; changes nothing. kCorrupt where they are others,
  // kNotFound where the file is not there and should be.
  static Result<GrowingFile> open(const std::filesystem::path& path, const FileMark& mark, const EachLine& each);

  const std::filesystem::path& path() const { return path_; }
  // Opens it for writing; makes it where it is not there.
  Status begin();
  // The next bytes: compared with what lies there already, and written where nothing does.
  Status append(std::string_view bytes);
  Status sync();  // what was appended is on disk when it returns
  // What was appended or proved so far.
  FileMark mark() const;
  // kCorrupt where bytes lie there behind those: somebody added to the file.
  Status check_end() const;

 private:
  std::filesystem::path path_;
  OwnedFd fd_;
  int64_t bytes_ = 0;  // proved or appended
  int64_t size_ = 0;   // of the file
  int64_t n_lines_ = 0;
  Sha256 hash_;
};

}  // namespace naru::samples
