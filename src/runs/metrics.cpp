#include "runs/metrics.h"

#include <nlohmann/json.hpp>

#include "runs/json_lines.h"
#include "runs/run_files.h"

namespace naru::runs {

Status for_each_metrics(const std::filesystem::path& run_folder, const std::function<void(const Metrics&)>& each) {
  const auto of_line = [&each](const nlohmann::json& line, std::string_view) {
    const auto step = json_whole(line, "step");
    if (!step) return;
    Metrics metrics{.step = *step, .values = {}};
    for (const auto& [name, value] : line.items()) {
      if (name != "step" && name != "time" && value.is_number()) metrics.values.emplace_back(name, value.get<double>());
    }
    each(metrics);
  };
  const auto n_bad = for_each_json_line(run_folder / kMetricsFile, of_line);
  return n_bad.ok() ? Status() : Status(n_bad.error());
}

}  // namespace naru::runs
