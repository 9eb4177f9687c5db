// naru runs: the training runs of a folder, as a table or as JSON.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "cli/json_text.h"
#include "cli/options.h"
#include "runs/run_folder.h"

namespace naru::cli {

struct RunsOptions {
  std::string folder;  // empty: runs
  bool json = false;
};

// A table on `columns` of a screen (0: no bound), a row a run, by its place in the folder that was listed, and under it
// what tells it from others of its recipe. Names come from outside: what a terminal would act upon is replaced.
std::string runs_table(const std::vector<runs::RunSummary>& runs, const std::filesystem::path& listed, int64_t columns);
Json runs_json(const std::vector<runs::RunSummary>& runs);

Command make_runs();
Status runs_command(const RunsOptions& options);

}  // namespace naru::cli
