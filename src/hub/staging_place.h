// Names below the models folder that Staging and the list share.
#pragma once

#include <filesystem>
#include <optional>
#include <string_view>

#include "base/result.h"
#include "hub/manifest.h"
#include "hub/name.h"

namespace naru::hub {

inline constexpr std::string_view kStagingFolder = ".partial";  // no owner's name begins with a dot

// Where a pull of the name is in progress.
std::filesystem::path staging_path(const std::filesystem::path& models, const ModelName& name);
// Of the model in a folder that has one; nothing where it has none.
Result<std::optional<PullManifest>> read_installed(const std::filesystem::path& folder);
// That of a folder.
Result<PullManifest> read_manifest(const std::filesystem::path& folder);

}  // namespace naru::hub
