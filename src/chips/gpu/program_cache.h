// Programs that a driver built, kept on disk from one process to the next: $XDG_CACHE_HOME/naru/kernels, else
// ~/.cache/naru/kernels. A file's name is the SHA-256 of all that decides what is in it (text, options, device,
// driver); it begins with the SHA-256 of the rest, and one that is damaged, or of another owner, is as good as none.
// The folder is the user's alone. One that cannot be written, or is another's, costs time, and nothing else.
#pragma once

#include <string>
#include <string_view>

namespace naru::gpu {

class ProgramCache {
 public:
  // A program by the key that it was kept by; empty where there is none.
  std::string find(std::string_view key) const;
  void keep(std::string_view key, std::string_view program) const;
  void drop(std::string_view key) const;
};

}  // namespace naru::gpu
