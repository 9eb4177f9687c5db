// The name of a model on a hub, as people type it: owner/repository, owner/repository:file.gguf, and either with
// @revision (a branch, a tag or a commit); or a short name of hub/packaged.h. What is typed is also where the pulled
// model is kept, so nothing in a name can lead out of the models folder.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace naru::hub {

inline constexpr size_t kNamePartBytesMax = 96;          // of an owner, and of a repository: the hub's own limit
inline constexpr size_t kRevisionBytesMax = 200;         // of a revision
inline constexpr size_t kRepositoryPathBytesMax = 1024;  // of a file's path in a repository
inline constexpr size_t kFolderNameBytesMax = 255;       // of the folder that a model is kept in: what disks take

struct ModelName {
  std::string owner;
  std::string repository;
  std::optional<std::string> file;      // a path in the repository
  std::optional<std::string> revision;  // default: the branch main

  // A short name, of hub/packaged.h: its owner is empty, and its repository is the name.
  bool is_packaged() const { return owner.empty(); }
  std::string repository_id() const { return owner + "/" + repository; }
  std::string text() const;
  // Below the models folder: OWNER/REPOSITORY, OWNER/REPOSITORY@REVISION--FILE. No owner and no repository has -- in
  // it.
  std::filesystem::path folder() const;
};

// kInvalidArgument where it is no such name.
Result<ModelName> parse_name(std::string_view text);

// A relative path of plain names with / between them: no empty one, none of . and .., no control characters, no
// backslash, valid UTF-8, at most kRepositoryPathBytesMax bytes.
bool is_safe_path(std::string_view path);

}  // namespace naru::hub
