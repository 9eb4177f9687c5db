// RunLock: one trainer at a time in the folder of a run, held by the folder itself and not by a name in it: removing or
// replacing the file `lock` admits nobody. The locks are the kernel's, on open files, and end with the process that
// holds them, whatever ends it. The file is locked as well, for network disks that know no locks on folders, and says
// in messages which process it is. A link of that name is never followed, nor is anything cut that is not ours.
#pragma once

#include <filesystem>

#include "base/owned_fd.h"
#include "base/result.h"

namespace naru::runs {

class RunLock {
 public:
  RunLock() = default;
  // `folder` is there. Another trainer at work in it is kUnavailable, with its process.
  static Result<RunLock> take(const std::filesystem::path& folder);

  // Whether the folder of that path is still the one that is locked. A trainer whose folder was moved away would
  // otherwise write into the next one of the name.
  Status check() const;

  // Takes the file `lock` away where taking the lock made it, while it is held still.
  void remove_made();

 private:
  std::filesystem::path path_;
  bool is_made_ = false;
  OwnedFd folder_, file_;
};

// Whether a trainer is at work in the folder; as far as can be seen from here.
bool is_run_locked(const std::filesystem::path& folder);

}  // namespace naru::runs
