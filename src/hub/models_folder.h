// The models folder: one folder for each name that was pulled (ModelName::folder), there whole or not at all, with the
// real names of its files and its manifest. What is being pulled lies in .partial/ below, where no reader looks, under
// the lock of the process that pulls it, and stays there for the next pull of the name.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/owned_fd.h"
#include "base/result.h"
#include "hub/manifest.h"
#include "hub/name.h"

namespace naru::hub {

inline constexpr int64_t kModelsMax = 10000;  // models that are listed

// $NARU_MODELS, else $XDG_DATA_HOME/naru/models, else ~/.local/share/naru/models. It need not be there.
Result<std::filesystem::path> models_folder();

struct PulledModel {
  PullManifest manifest;
  std::filesystem::path folder;
  int64_t bytes_here = 0;  // of its files, on disk
  bool is_whole = true;    // false: a pull that was not finished
};

// By name. A folder without a manifest is not ours and is passed over; a manifest that cannot be read is a note.
struct ModelList {
  std::vector<PulledModel> models;
  std::vector<std::string> notes;
};
Result<ModelList> list_models(const std::filesystem::path& models);

// The folder of the model pulled as `name`; nothing where there is none.
Result<std::optional<std::filesystem::path>> find_model(const std::filesystem::path& models, const ModelName& name);

// kNotFound where there is neither such a model nor one that was begun; kInvalidArgument where the folder holds what is
// no file of it.
Status check_removable(const std::filesystem::path& models, const ModelName& name);
// Removes a model and what was begun of it; returns the bytes that its files had. Errors as of check_removable, which
// it asks.
Result<int64_t> remove_model(const std::filesystem::path& models, const ModelName& name);

// The place of a pull in progress, locked for as long as the object lives.
class Staging {
 public:
  // Makes the folders that are missing. Another process at work on the name is kUnavailable.
  static Result<Staging> open(const std::filesystem::path& models, const ModelName& name);

  const std::filesystem::path& path() const { return path_; }
  // Refuses a target on another disk, where the folder cannot take its place in one step.
  Status check_disk(const std::filesystem::path& target) const;
  // What an earlier pull of the name began; nothing where there is none that can be read.
  const std::optional<PullManifest>& earlier() const { return earlier_; }
  // Removes what is no file of `manifest`, or of another content than an earlier pull's, and writes the manifest.
  Status prepare(const PullManifest& manifest);
  // The file is here, and checked: prepare() leaves it.
  void add_checked(const PulledFile& file) { checked_.push_back(file); }
  // Gives a file of the installed model a second name here where it has the wanted content; else does nothing.
  void take_from(const std::filesystem::path& installed, const PullManifest& old, const PulledFile& file) const;
  // Whether every file of the manifest is here, and the very one that is installed.
  bool is_installed(const std::filesystem::path& installed, const PullManifest& manifest) const;
  // All files are there: the folder takes its place.
  Status install(const std::filesystem::path& target, const PullManifest& manifest);
  // Removes all of it.
  Status discard();
  // The same where no file has a byte that another pull could go on from.
  void discard_if_empty();
  // Removes an installed model and what is here, by way of this place: a kill leaves a pull that is not finished.
  Status remove(const std::filesystem::path& installed);

 private:
  Staging() = default;
  // Nothing is open where there is none.
  Result<OwnedFd> lock_installed(const std::filesystem::path& target) const;
  std::filesystem::path path_;
  std::optional<PullManifest> earlier_;
  std::vector<PulledFile> checked_;
  OwnedFd lock_;
};

// Refuses a folder of that name with anything in it that a pull would not have put there.
Status check_is_ours(const std::filesystem::path& folder, const ModelName& name);

// Of the disk that will hold the models.
Result<int64_t> free_bytes(const std::filesystem::path& models);

}  // namespace naru::hub
