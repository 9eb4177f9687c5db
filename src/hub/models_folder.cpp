#include "hub/models_folder.h"

#include <fmt/format.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <system_error>

#include "base/file.h"
#include "base/home.h"
#include "formats/utf8.h"
#include "hub/staging_place.h"

namespace naru::hub {
namespace {

namespace fs = std::filesystem;

Error folder_error(const fs::path& folder, const std::string& reason) {
  return {Code::kUnavailable, fmt::format("reading the models folder {}: {}; check that it may be read, or set "
                                          "NARU_MODELS to another",
                                          formats::printable(folder.string(), 300), reason)};
}

std::string value_of(const char* name) {
  const char* text = std::getenv(name);
  return text == nullptr ? "" : text;
}

// Folders in a folder, none of them a link; empty where it is not there.
Result<std::vector<fs::path>> folders_in(const fs::path& folder) {
  std::vector<fs::path> found;
  std::error_code code;
  for (fs::directory_iterator place(folder, code), end; !code && place != end; place.increment(code)) {
    std::error_code ignored;
    if (place->symlink_status(ignored).type() == fs::file_type::directory) found.push_back(place->path());
    if (static_cast<int64_t>(found.size()) > kModelsMax) {
      return Error{Code::kOutOfRange,
                   fmt::format("reading the models folder: {} has more than {} folders; set NARU_MODELS to a folder of "
                               "models",
                               formats::printable(folder.string(), 300), kModelsMax)};
    }
  }
  if (code && code != std::errc::no_such_file_or_directory) return folder_error(folder, code.message());
  return found;
}

// Adds the model of a folder that has a manifest.
void add_model(const fs::path& folder, bool is_whole, ModelList* list) {
  std::error_code ignored;
  if (!fs::exists(folder / kPullManifestName, ignored)) return;
  auto manifest = read_manifest(folder);
  if (!manifest.ok()) {
    list->notes.push_back(std::move(manifest).error().message);
    return;
  }
  PulledModel model{std::move(manifest).value(), folder, 0, is_whole};
  for (const PulledFile& file : model.manifest.files) {
    const auto size = fs::file_size(folder / file.name, ignored);
    if (size != static_cast<uintmax_t>(-1)) model.bytes_here += static_cast<int64_t>(size);
  }
  list->models.push_back(std::move(model));
}

}  // namespace

Result<fs::path> models_folder() {
  if (const std::string given = value_of("NARU_MODELS"); !given.empty()) return fs::path(with_home(given));
  const std::string data = value_of("XDG_DATA_HOME");
  if (!data.empty() && data[0] == '/') return fs::path(data) / "naru" / "models";
  const std::string home = home_folder();
  if (!home.empty()) return fs::path(home) / ".local" / "share" / "naru" / "models";
  return Error{Code::kNotFound,
               "finding the models folder: neither NARU_MODELS nor HOME is set; set NARU_MODELS to a "
               "folder of yours"};
}

Result<ModelList> list_models(const fs::path& models) {
  ModelList list;
  NARU_ASSIGN(const auto owners, folders_in(models));
  for (const fs::path& owner : owners) {
    if (owner.filename() == kStagingFolder) continue;
    add_model(owner, true, &list);  // one with a short name
    NARU_ASSIGN(const auto folders, folders_in(owner));
    for (const fs::path& folder : folders) add_model(folder, true, &list);
  }
  NARU_ASSIGN(const auto begun, folders_in(models / kStagingFolder));
  for (const fs::path& folder : begun) add_model(folder, false, &list);
  std::sort(list.models.begin(), list.models.end(), [](const PulledModel& a, const PulledModel& b) {
    return std::tie(a.manifest.model, b.is_whole) < std::tie(b.manifest.model, a.is_whole);
  });
  return list;
}

Result<std::optional<fs::path>> find_model(const fs::path& models, const ModelName& name) {
  const fs::path folder = models / name.folder();
  std::error_code code;
  const bool is_there = fs::exists(folder / kPullManifestName, code);
  if (code && code != std::errc::not_a_directory) return folder_error(folder, code.message());
  if (!is_there) return std::optional<fs::path>();
  // Two names may have one folder.
  NARU_ASSIGN(const PullManifest manifest, read_manifest(folder));
  return manifest.model == name.text() ? std::optional<fs::path>(folder) : std::nullopt;
}

Status check_removable(const fs::path& models, const ModelName& name) {
  const fs::path folder = models / name.folder(), begun = staging_path(models, name);
  std::error_code ignored;
  const auto manifest = read_manifest(begun);
  const bool is_begun = fs::exists(begun, ignored) && (!manifest.ok() || manifest->model == name.text());
  if (is_begun || fs::exists(folder, ignored)) return check_is_ours(folder, name);
  return Error{Code::kNotFound, fmt::format("removing {}: there is no such model in {}; `naru list` shows what there "
                                            "is",
                                            name.text(), models.string())};
}

Result<int64_t> remove_model(const fs::path& models, const ModelName& name) {
  NARU_TRY(check_removable(models, name));
  const fs::path folder = models / name.folder();
  std::error_code ignored;
  const bool is_there = fs::exists(folder, ignored);
  NARU_ASSIGN(Staging staging, Staging::open(models, name));
  ModelList list;
  add_model(staging.path(), false, &list);
  if (is_there) add_model(folder, true, &list);
  NARU_TRY(is_there ? staging.remove(folder) : staging.discard());
  if (!name.is_packaged()) fs::remove(folder.parent_path(), ignored);  // the owner's, where it is empty now
  int64_t bytes = 0;
  for (const PulledModel& model : list.models) bytes += model.bytes_here;
  return bytes;
}

Result<int64_t> free_bytes(const fs::path& models) {
  struct statvfs info {};
  if (::statvfs(models.c_str(), &info) != 0) return folder_error(models, std::strerror(errno));
  return static_cast<int64_t>(info.f_bavail) * static_cast<int64_t>(info.f_frsize);
}

}  // namespace naru::hub
