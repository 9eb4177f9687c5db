// Programs that a driver built, kept on disk from one process to the next: $XDG_CACHE_HOME/naru/kernels, else
// ~/.cache/naru/kernels. A file's name is the SHA-256 of all that decides what is in it (text, options, device,
// driver); it begins with the SHA-256 of the rest, and one that is damaged, or of another owner, is as good as none.
// The folder is the user's alone. One that cannot be written, or is another's, costs time, and nothing else. It holds
// kProgramsBytesMax: whoever keeps one more removes those that were not used for the longest time.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace naru::gpu {

inline constexpr int64_t kProgramsBytesMax = int64_t{256} << 20;

class ProgramCache {
 public:
  explicit ProgramCache(int64_t bytes_max = kProgramsBytesMax) : bytes_max_(bytes_max) {}
  // A program by the key that it was kept by, which counts as a use; empty where there is none.
  std::string find(std::string_view key) const;
  void keep(std::string_view key, std::string_view program) const;
  void drop(std::string_view key) const;

 private:
  int64_t bytes_max_;
};

}  // namespace naru::gpu
