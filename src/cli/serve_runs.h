// The training runs that `naru serve --runs FOLDER` shows on its page: what naru runs lists and the report draws, as
// JSON.
#pragma once

#include <filesystem>

#include "server/runs_desk.h"

namespace naru::cli {

inline constexpr int64_t kShownPointsMax = 800;  // of one curve on the page

// {"runs": [...]}: as `naru runs --json`, but that a run has an "id", its path in the folder, and that nothing says
// where the folder is. A run by its id: name, status, figures, sections, curves, alarms, notes.
server::RunsSource runs_source(const std::filesystem::path& folder);

}  // namespace naru::cli
