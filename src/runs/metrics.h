// A line of metrics.jsonl, and reading them all.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"

namespace naru::runs {

// Step, and named numbers ("loss", "lr", "grad_norm", "tokens_per_s", "validation_loss"): docs/runs.md.
struct Metrics {
  int64_t step = 0;
  std::vector<std::pair<std::string, double>> values;
};

// Calls `each` for every line of a run's metrics.jsonl, in order; lines that are none are passed over, and so are
// values that are no numbers. A folder without the file has no lines.
Status for_each_metrics(const std::filesystem::path& run_folder, const std::function<void(const Metrics&)>& each);

}  // namespace naru::runs
