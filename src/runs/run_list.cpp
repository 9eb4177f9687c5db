// What `naru runs` shows: every folder that holds a run.json, read without trusting any of it. A run whose process died
// says "running" for ever in its run.json; its lock, which died with it, tells.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "formats/json.h"
#include "runs/json_lines.h"
#include "runs/pipeline_record.h"
#include "runs/run_files.h"
#include "runs/run_folder.h"
#include "runs/run_lock.h"

namespace naru::runs {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kTailBytes = 65536;  // of metrics.jsonl: the last values of everything are in there

// The last values of metrics.jsonl, which are newer than run.json's while a run is at work.
void read_tail(const fs::path& path, RunSummary* run) {
  std::error_code error;
  if (!fs::exists(path, error)) return;
  const auto file = MappedFile::open(path);
  if (!file.ok()) return;
  std::string_view text = as_text(file->bytes());
  if (static_cast<int64_t>(text.size()) > kTailBytes) {
    text.remove_prefix(text.size() - kTailBytes);
    text.remove_prefix(std::min(text.find('\n'), text.size() - 1) + 1);
  }
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    if (const auto line = parse_json_line(text.substr(0, end))) {
      run->step = std::max(run->step, json_whole(*line, "step").value_or(0));
      if (const auto loss = json_number(*line, "loss")) run->loss = loss;
      if (const auto loss = json_number(*line, "validation_loss")) run->validation_loss = loss;
      if (const auto reward = json_number(*line, "reward")) run->reward = reward;
      if (const auto accuracy = json_number(*line, "accuracy")) run->accuracy = accuracy;
    }
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

RunSummary summary_of(const fs::path& folder) {
  RunSummary run;
  run.folder = folder;
  run.name = folder.filename().string();
  const auto text = read_file(folder / kRunFile, kRunFileBytesMax);
  const auto info = text.ok() ? formats::parse_json(as_bytes(*text), kRunFile) : Result<nlohmann::json>(text.error());
  if (!info.ok()) {
    run.status = "damaged";
    return run;
  }
  if (const std::string name = json_text_of(*info, "name"); !name.empty()) run.name = name;
  run.status = json_text_of(*info, "status");
  if (run.status.empty()) run.status = "damaged";
  if (run.status == "running" && !is_run_locked(folder)) run.status = "stopped";
  run.step = std::max<int64_t>(0, json_whole(*info, "step").value_or(0));
  run.steps = std::max<int64_t>(0, json_whole(*info, "steps").value_or(0));
  run.loss = json_number(*info, "loss");
  run.validation_loss = json_number(*info, "validation_loss");
  run.reward = json_number(*info, "reward");
  run.accuracy = json_number(*info, "accuracy");
  run.seconds = json_number(*info, "seconds").value_or(0);
  run.weights_sha256 = json_text_of(*info, "weights_sha256");
  run.command = json_text_of(*info, "command");
  run.started = json_text_of(*info, "started");
  run.updated = json_text_of(*info, "updated");
  read_tail(folder / kMetricsFile, &run);
  return run;
}

// Of runs of one name: what tells them apart. A recipe that cannot be read tells nothing.
void find_differences(const std::vector<RunSummary*>& alike) {
  std::vector<std::pair<RunSummary*, recipes::Recipe>> readable;
  for (RunSummary* run : alike) {
    auto recipe = recipes::read_recipe(run->folder / kRecipeFile, {});
    if (recipe.ok()) readable.emplace_back(run, std::move(recipe).value());
  }
  if (readable.size() < 2) return;
  // The keys of which any has another value than the first run's.
  const recipes::Recipe& first = readable.front().second;
  std::map<std::string, std::string> of_first;
  std::vector<std::vector<recipes::KeyDifference>> found;
  for (const auto& [run, recipe] : readable) {
    found.push_back(recipes::recipe_differences(first, recipe));
    for (const recipes::KeyDifference& d : found.back()) of_first.emplace(d.path, d.there);
  }
  for (size_t i = 0; i < readable.size(); ++i) {
    std::map<std::string, std::string> values = of_first;
    for (const recipes::KeyDifference& d : found[i]) values[d.path] = d.here;
    readable[i].first->differs.assign(values.begin(), values.end());
  }
}

void find_differences(std::vector<RunSummary>& runs) {
  std::map<std::string, std::vector<RunSummary*>> by_name;
  for (RunSummary& run : runs) by_name[run.name].push_back(&run);
  for (const auto& [name, alike] : by_name) {
    if (alike.size() > 1) find_differences(alike);
  }
}

// Of a folder that holds a pipeline: the runs of its stages.
void add_stages(const fs::path& folder, std::vector<fs::path>& places) {
  const auto record = read_pipeline_record(folder);
  if (!record.ok() || !*record) return;
  for (const StageRecord& stage : (*record)->stages) {
    std::error_code ignored;
    if (fs::exists(folder / stage.name / kRunFile, ignored)) places.push_back(folder / stage.name);
  }
}

}  // namespace

Result<std::vector<RunSummary>> list_runs(const fs::path& folder) {
  std::error_code error;
  if (!fs::is_directory(folder, error)) {
    return Error{Code::kNotFound, fmt::format("listing the runs of {}: there is no such folder; give the folder that "
                                              "holds runs, or one of them",
                                              folder.string())};
  }
  std::vector<RunSummary> runs;
  if (fs::exists(folder / kRunFile, error)) {
    runs.push_back(summary_of(folder));
    return runs;
  }
  std::vector<fs::path> places;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    std::error_code ignored;
    if (fs::exists(entry->path() / kRunFile, ignored)) places.push_back(entry->path());
    add_stages(entry->path(), places);
  }
  for (const fs::path& place : places) {
    if (static_cast<int64_t>(runs.size()) == kRunsMax) {
      return Error{Code::kUnsupported, fmt::format("listing the runs of {}: it holds more than {}, at most that many "
                                                   "are listed; move some into another folder",
                                                   folder.string(), kRunsMax)};
    }
    runs.push_back(summary_of(place));
  }
  if (error) {
    return Error{Code::kUnavailable, fmt::format("listing the runs of {}: {}; check that it may be read",
                                                 folder.string(), error.message())};
  }
  // The oldest first; names decide where times do not.
  std::sort(runs.begin(), runs.end(), [](const RunSummary& a, const RunSummary& b) {
    return std::pair(a.started, a.folder.string()) < std::pair(b.started, b.folder.string());
  });
  find_differences(runs);
  return runs;
}

}  // namespace naru::runs
