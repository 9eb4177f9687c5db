// Unfinished files and folders. They lie beside their targets under names that nobody can guess, are made where nothing
// was (never through a link), and are locked by their writer for as long as it lives: that is how the next writer of
// the same target knows what a killed one left, and removes it.
#pragma once

#include <sys/types.h>

#include <cerrno>
#include <cstdint>
#include <filesystem>
#include <string_view>

#include "base/result.h"

namespace naru {

inline constexpr std::string_view kPartialMark = ".partial-";  // in the names of unfinished files and folders

// Of errno after a write: the disk is full, or a quota or the limit of a file's size (ulimit -f) is reached.
inline bool is_out_of_space(int error_number) {
  return error_number == ENOSPC || error_number == EDQUOT || error_number == EFBIG;
}

// TARGET.partial- and 16 random hexadecimal digits.
Result<std::filesystem::path> partial_name(const std::filesystem::path& target);
// Whether `name` is one that partial_name() gives to `target`, both without their folders: any other is the user's.
bool is_partial_of(std::string_view name, std::string_view target);
// Whether a living writer holds the lock of an unfinished file or folder; false on a disk without locks.
bool is_being_written(const std::filesystem::path& path);

// An unfinished file or folder of this process; removed with its contents at the end unless release() was called.
class Partial {
 public:
  enum class Kind : uint8_t { kFile, kFolder };

  // Removes what killed writers of `target` left, then makes the file (open for writing) or the folder with `mode` less
  // the umask. The error carries what the system said; where it was said is for the caller to say.
  static Result<Partial> create(const std::filesystem::path& target, Kind kind, mode_t mode);
  Partial(Partial&& other) noexcept;
  Partial& operator=(Partial&&) = delete;
  ~Partial();

  const std::filesystem::path& path() const { return path_; }
  int fd() const { return fd_; }  // of a folder: for its mode and owner only
  // It has another name now, or is gone.
  void release();
  // The path is now the name of something else that is to be removed (what was replaced).
  void take_over(std::filesystem::path path);

 private:
  Partial() = default;
  std::filesystem::path path_;
  Kind kind_ = Kind::kFile;
  int fd_ = -1;
  int slot_ = -1;  // in the table that remove_all_partials() reads
};

// Removes every unfinished file and folder of this process, before it ends at once. May be called in a signal handler.
void remove_all_partials();

}  // namespace naru
