// What `naru runs` and the server's page show: every folder that holds a run.json, read without trusting any of it. A
// run whose process died says "running" for ever in its run.json; its lock, which died with it, tells.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "formats/json.h"
#include "runs/file_stamp.h"
#include "runs/json_lines.h"
#include "runs/run_files.h"
#include "runs/run_lister.h"
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

// With the status that run.json has.
RunSummary read_summary(const fs::path& folder) {
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
  run.step = std::max<int64_t>(0, json_whole(*info, "step").value_or(0));
  run.steps = std::max<int64_t>(0, json_whole(*info, "steps").value_or(0));
  run.loss = json_number(*info, "loss");
  run.validation_loss = json_number(*info, "validation_loss");
  run.reward = json_number(*info, "reward");
  run.accuracy = json_number(*info, "accuracy");
  run.seconds = json_number(*info, "seconds").value_or(0);
  run.weights_sha256 = json_text_of(*info, "weights_sha256");
  run.fault = json_text_of(*info, "fault");
  run.recheck_differences = json_whole(*info, "recheck_differences");
  if (run.status == "failed") run.reason = json_text_of(*info, "reason");
  run.command = json_text_of(*info, "command");
  run.started = json_text_of(*info, "started");
  run.updated = json_text_of(*info, "updated");
  read_tail(folder / kMetricsFile, &run);
  return run;
}

// What of a run is read, here and for its report.
bool has_run_file_outside(const fs::path& run, const auto& leads_out) {
  const auto is_outside = [&](std::string_view name) { return leads_out(run / name); };
  return is_outside(kRunFile) || is_outside(kRecipeFile) || is_outside(kCheckpointsFolder) ||
         std::any_of(kLineFiles.begin(), kLineFiles.end(), is_outside);
}

}  // namespace

struct RunLister::State {
  // What was read of a run, and of which files.
  struct KeptRun {
    FileStamp run_file, metrics_file;
    RunSummary summary;
    std::optional<FileStamp> recipe_file;           // nothing: its recipe was not wanted yet
    std::shared_ptr<const recipes::Recipe> recipe;  // null where it cannot be read
  };

  struct KeptPipeline {
    FileStamp file;
    std::optional<PipelineRecord> record;  // nothing where it cannot be read
  };

  fs::path folder;
  Links links;
  fs::path real_folder;  // for Links::kStayInside
  std::map<fs::path, KeptRun> kept;
  std::map<fs::path, KeptPipeline> kept_pipelines;
  std::vector<ListedPipeline> pipelines;
  int64_t n_read = 0;

  bool leads_out(const fs::path& path) const;
  bool is_run(const fs::path& place) const;
  void add_stages(const fs::path& place, bool are_met, std::vector<fs::path>& places);
  Result<std::vector<fs::path>> find_places();
  RunSummary summary_of(const fs::path& place);
  const recipes::Recipe* recipe_of(const fs::path& place);
  void find_differences(const std::vector<RunSummary*>& alike);
  void find_differences(std::vector<RunSummary>& runs);
  void forget_others(const std::vector<fs::path>& places);
};

bool RunLister::State::leads_out(const fs::path& path) const {
  std::error_code error;
  if (links == Links::kFollow || !fs::is_symlink(fs::symlink_status(path, error))) return false;
  const fs::path real = fs::canonical(path, error);
  if (error) return true;
  return std::mismatch(real_folder.begin(), real_folder.end(), real.begin(), real.end()).first != real_folder.end();
}

bool RunLister::State::is_run(const fs::path& place) const {
  std::error_code ignored;
  if (!fs::exists(place / kRunFile, ignored) || leads_out(place)) return false;
  return !has_run_file_outside(place, [this](const fs::path& path) { return leads_out(path); });
}

// Of a folder that holds a pipeline: the runs of its stages, where they are not met anyhow.
void RunLister::State::add_stages(const fs::path& place, bool are_met, std::vector<fs::path>& places) {
  const fs::path file = place / kPipelineFile;
  const FileStamp stamp = stamp_of(file);
  if (stamp == FileStamp() || leads_out(place) || leads_out(file)) return;
  KeptPipeline& pipeline = kept_pipelines[place];
  if (pipeline.file != stamp) {
    auto record = read_pipeline_record(place);
    pipeline = {stamp, record.ok() ? std::move(record).value() : std::nullopt};
  }
  if (!pipeline.record) return;
  pipelines.push_back({place, *pipeline.record});
  for (const StageRecord& stage : pipeline.record->stages) {
    if (!are_met && is_run(place / stage.name)) places.push_back(place / stage.name);
  }
}

Result<std::vector<fs::path>> RunLister::State::find_places() {
  std::error_code error;
  pipelines.clear();
  real_folder = fs::canonical(folder, error);
  if (error || !fs::is_directory(folder, error)) {
    return Error{Code::kNotFound, fmt::format("listing the runs of {}: there is no such folder; give the folder that "
                                              "holds runs, or one of them",
                                              folder.string())};
  }
  if (is_run(folder)) return std::vector<fs::path>{folder};
  std::vector<fs::path> places;
  add_stages(folder, true, places);
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    if (is_run(entry->path())) places.push_back(entry->path());
    add_stages(entry->path(), false, places);
    if (static_cast<int64_t>(places.size()) > kRunsMax) {
      return Error{Code::kUnsupported, fmt::format("listing the runs of {}: it holds more than {}, at most that many "
                                                   "are listed; move some into another folder",
                                                   folder.string(), kRunsMax)};
    }
  }
  if (error) {
    return Error{Code::kUnavailable, fmt::format("listing the runs of {}: {}; check that it may be read",
                                                 folder.string(), error.message())};
  }
  std::sort(pipelines.begin(), pipelines.end(), [](const auto& a, const auto& b) { return a.folder < b.folder; });
  return places;
}

RunSummary RunLister::State::summary_of(const fs::path& place) {
  const FileStamp run_file = stamp_of(place / kRunFile), metrics_file = stamp_of(place / kMetricsFile);
  const auto [at, is_new] = kept.try_emplace(place);
  KeptRun& run = at->second;
  if (is_new || run.run_file != run_file || run.metrics_file != metrics_file) {
    run.run_file = run_file;
    run.metrics_file = metrics_file;
    run.summary = read_summary(place);
    ++n_read;
  }
  RunSummary summary = run.summary;
  if (summary.status == "running" && !is_run_locked(place)) summary.status = "stopped";
  return summary;
}

const recipes::Recipe* RunLister::State::recipe_of(const fs::path& place) {
  KeptRun& run = kept[place];
  const FileStamp stamp = stamp_of(place / kRecipeFile);
  if (run.recipe_file != stamp) {
    auto recipe = recipes::read_recipe(place / kRecipeFile, {});
    run.recipe_file = stamp;
    run.recipe = recipe.ok() ? std::make_shared<const recipes::Recipe>(std::move(recipe).value()) : nullptr;
  }
  return run.recipe.get();
}

// Of runs of one name: what tells them apart. A recipe that cannot be read tells nothing.
void RunLister::State::find_differences(const std::vector<RunSummary*>& alike) {
  std::vector<std::pair<RunSummary*, const recipes::Recipe*>> readable;
  for (RunSummary* run : alike) {
    if (const recipes::Recipe* recipe = recipe_of(run->folder)) readable.emplace_back(run, recipe);
  }
  if (readable.size() < 2) return;
  // The keys of which any has another value than the first run's.
  const recipes::Recipe& first = *readable.front().second;
  std::map<std::string, std::string> of_first;
  std::vector<std::vector<recipes::KeyDifference>> found;
  for (const auto& [run, recipe] : readable) {
    found.push_back(recipes::recipe_differences(first, *recipe));
    for (const recipes::KeyDifference& d : found.back()) of_first.emplace(d.path, d.there);
  }
  for (size_t i = 0; i < readable.size(); ++i) {
    std::map<std::string, std::string> values = of_first;
    for (const recipes::KeyDifference& d : found[i]) values[d.path] = d.here;
    readable[i].first->differs.assign(values.begin(), values.end());
  }
}

void RunLister::State::find_differences(std::vector<RunSummary>& runs) {
  std::map<std::string, std::vector<RunSummary*>> by_name;
  for (RunSummary& run : runs) by_name[run.name].push_back(&run);
  for (const auto& [name, alike] : by_name) {
    if (alike.size() > 1) find_differences(alike);
  }
}

void RunLister::State::forget_others(const std::vector<fs::path>& places) {
  std::map<fs::path, KeptRun> there;
  for (const fs::path& place : places) {
    if (auto node = kept.extract(place)) there.insert(std::move(node));
  }
  kept = std::move(there);
  std::erase_if(kept_pipelines, [this](const auto& each) {
    return std::none_of(pipelines.begin(), pipelines.end(), [&](const auto& one) { return one.folder == each.first; });
  });
}

RunLister::RunLister(fs::path folder, Links links) : state_(std::make_unique<State>()) {
  state_->folder = std::move(folder);
  state_->links = links;
}

RunLister::RunLister(RunLister&&) noexcept = default;
RunLister& RunLister::operator=(RunLister&&) noexcept = default;
RunLister::~RunLister() = default;

const std::vector<ListedPipeline>& RunLister::pipelines() const {
  return state_->pipelines;
}

int64_t RunLister::n_read() const {
  return state_->n_read;
}

Result<std::vector<RunSummary>> RunLister::list() {
  NARU_ASSIGN(const std::vector<fs::path> places, state_->find_places());
  state_->forget_others(places);
  std::vector<RunSummary> runs;
  for (const fs::path& place : places) runs.push_back(state_->summary_of(place));
  // The oldest first; names decide where times do not.
  std::sort(runs.begin(), runs.end(), [](const RunSummary& a, const RunSummary& b) {
    return std::pair(a.started, a.folder.string()) < std::pair(b.started, b.folder.string());
  });
  state_->find_differences(runs);
  return runs;
}

Result<std::vector<RunSummary>> list_runs(const fs::path& folder) {
  return RunLister(folder).list();
}

}  // namespace naru::runs
