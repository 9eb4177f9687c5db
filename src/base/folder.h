// Folders that are there whole or not at all: their files are written under a temporary name, everything is synced, and
// the folder takes its own name at the end. Whoever is killed in between leaves a folder named NAME.partial-PID.
#pragma once

#include <filesystem>

#include "base/result.h"

namespace naru {

class AtomicFolder {
 public:
  // The folders above `target` are made where they are not there.
  static Result<AtomicFolder> create(const std::filesystem::path& target);
  AtomicFolder(AtomicFolder&& other) noexcept;
  AtomicFolder& operator=(AtomicFolder&&) = delete;
  ~AtomicFolder();  // removes the temporary folder unless commit() succeeded

  // Where the files go meanwhile; each must be synced by its writer (AtomicFile does).
  const std::filesystem::path& path() const { return temporary_; }
  // A folder that has the name already is replaced in one step and removed.
  Status commit();

 private:
  AtomicFolder() = default;
  std::filesystem::path target_;
  std::filesystem::path temporary_;
};

// Removes a folder and all below it in such a way that a kill leaves no half of it under its own name.
Status remove_folder(const std::filesystem::path& folder);

// Makes the names in a folder survive a power failure.
Status sync_folder(const std::filesystem::path& folder);

}  // namespace naru
