// Folders that are there whole or not at all: their files are written under a temporary name, everything is synced, and
// the folder takes its own name at the end. Whoever is killed in between leaves a folder that the next writer of the
// same name removes (base/partial.h).
#pragma once

#include <filesystem>
#include <functional>
#include <utility>
#include <vector>

#include "base/file.h"
#include "base/partial.h"
#include "base/result.h"

namespace naru {

class AtomicFolder {
 public:
  // The folders above `target` are made where they are not there. A folder of that name that holds something is
  // replaced in one step at the end, or refused; an empty one is as good as none. Anything but a folder is refused. A
  // link is followed, as for files.
  static Result<AtomicFolder> create(const std::filesystem::path& target, Existing existing = Existing::kReplace);

  // Where the files go meanwhile; each must be synced by its writer (AtomicFile does).
  const std::filesystem::path& path() const { return partial_.path(); }
  Status commit();  // without it nothing stays

 private:
  AtomicFolder(std::filesystem::path target, Existing existing, Partial partial)
      : target_(std::move(target)), existing_(existing), partial_(std::move(partial)) {}
  std::filesystem::path target_;
  Existing existing_;
  Partial partial_;
};

// Gives a finished folder, whose files are synced, the name `target` in one step. Returns where what was replaced is
// now, for the caller to remove; nothing where there was none, or an empty one.
Result<std::filesystem::path> put_in_place(const std::filesystem::path& made, const std::filesystem::path& target,
                                           Existing existing);

// Of the folders above an output.
enum class Parents : uint8_t {
  kMustBeThere,
  kMade,  // by whoever makes the output (AtomicFolder, MadeParents)
};

// For the output of a command, before any work is done: what AtomicFolder::create refuses, and a place whose parents
// are not there, or cannot be made. With kReplace also a folder that holds anything but what `is_ours`: that is the
// user's, and is never replaced.
Status check_folder_place(const std::filesystem::path& target, Existing existing,
                          const std::function<bool(const std::filesystem::directory_entry& entry)>& is_ours,
                          Parents parents = Parents::kMustBeThere);

// The folders above an output that were not there: made here, and at the end of the object those of them that hold
// nothing go again.
class MadeParents {
 public:
  static Result<MadeParents> create(const std::filesystem::path& target);
  MadeParents(MadeParents&&) = default;
  MadeParents& operator=(MadeParents&&) = delete;
  MadeParents(const MadeParents&) = delete;
  MadeParents& operator=(const MadeParents&) = delete;
  ~MadeParents();

 private:
  MadeParents() = default;
  std::vector<std::filesystem::path> made_;  // the outermost first
};

// Removes a folder and all below it in such a way that a kill leaves no half of it under its own name.
Status remove_folder(const std::filesystem::path& folder);

// Makes the names in a folder survive a power failure.
Status sync_folder(const std::filesystem::path& folder);

}  // namespace naru
