// The training runs that `naru serve --runs FOLDER` shows on its page: what naru runs lists and the report draws, as
// JSON.
#pragma once

#include <filesystem>

#include "server/runs_desk.h"

namespace naru::cli {

inline constexpr int64_t kShownPointsMax = 800;  // of one curve on the page
inline constexpr int64_t kShownRunsKept = 8;     // runs whose JSON is kept while their files stay the same

// {"runs": [...], "pipelines": [...]}: runs as in `naru runs --json`, but that each has an "id", its path in the
// folder, and that nothing says where the folder is; of a pipeline its stages in order, with the ids of their runs. A
// run by its id: name, status, figures, sections, curves, alarms, notes. Nothing outside of the folder is read,
// whatever links lie in it.
server::RunsSource runs_source(const std::filesystem::path& folder);

}  // namespace naru::cli
