// Files inside of the program: bytes that the build put into it. They are opened by paths of their own, builtin:/NAME,
// which lead to no disk; a file that is called so is ./builtin:/NAME. Whoever has such bytes tells of them once
// (add_builtin_file); then MappedFile::open finds them as it finds files, and compares their SHA-256 each time with the
// one that they had when the program was built: a program whose file was damaged says so.
#pragma once

#include <filesystem>
#include <string_view>

#include "base/bytes.h"
#include "base/result.h"

namespace naru {

inline constexpr std::string_view kBuiltinPrefix = "builtin:/";

struct BuiltinFile {
  std::string_view path;    // kBuiltinPrefix and a name
  Bytes bytes;              // as long as the program runs, as all of this
  std::string_view sha256;  // lower-case hex
};

// Whether a path means a file inside of the program, be it there or not.
bool is_builtin_path(const std::filesystem::path& path);

// Before anybody opens it, and while the program has one thread. The same path again takes the place of the one before.
void add_builtin_file(const BuiltinFile& file);

// kNotFound: this program has no such file; kCorrupt: it is not the one that it was built with.
Result<Bytes> builtin_file_bytes(const std::filesystem::path& path);

// As std::filesystem::absolute; what is inside of the program is so already.
std::filesystem::path absolute_place(const std::filesystem::path& path);

}  // namespace naru
