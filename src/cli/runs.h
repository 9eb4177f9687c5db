// What `naru runs` prints, as text and as JSON.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cli/json_text.h"
#include "train/run_folder.h"

namespace naru::cli {

// A table, one line a run. Names come from outside: what a terminal would act upon is replaced.
std::string runs_table(const std::vector<train::RunSummary>& runs);
Json runs_json(const std::vector<train::RunSummary>& runs);

}  // namespace naru::cli
