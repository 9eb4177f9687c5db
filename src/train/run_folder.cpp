// The folder of a run: lock first, then the recipe that is in it against the one that is asked for, then its files.
#include "train/run_folder.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstring>
#include <ctime>

#include "base/file.h"
#include "base/folder.h"
#include "base/sha256.h"
#include "formats/json.h"
#include "train/append_file.h"
#include "train/file_digest.h"
#include "train/json_lines.h"
#include "train/run_files.h"
#include "train/run_lines.h"
#include "train/run_lock.h"
#include "train/tensorboard.h"

namespace naru::train {
namespace {

namespace fs = std::filesystem;
using OrderedJson = nlohmann::ordered_json;

double now_seconds() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

std::string utc_text(double seconds) {
  const auto whole = static_cast<std::time_t>(seconds);
  std::tm parts{};
  ::gmtime_r(&whole, &parts);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday,
                     parts.tm_hour, parts.tm_min, parts.tm_sec);
}

Status write_whole(const fs::path& path, std::string_view text) {
  NARU_ASSIGN(AtomicFile file, AtomicFile::create(path));
  NARU_TRY(file.write(as_bytes(text)));
  return file.commit();
}

// True where nothing is in the folder but what a run that was killed at once may have left.
Result<bool> is_fresh(const fs::path& folder) {
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (name != kLockFile && !name.starts_with(kRecipeFile) && !name.starts_with(kSetAsideMark)) return false;
  }
  if (error) {
    return Error{Code::kUnavailable, fmt::format("opening the run {}: listing it: {}; check that it may be read",
                                                 folder.string(), error.message())};
  }
  return true;
}

Status check_recipe(const fs::path& folder, const Recipe& recipe) {
  const fs::path path = folder / kRecipeFile;
  NARU_ASSIGN(const Recipe there, read_recipe(path, {}));
  if (const auto difference = recipe_difference(there, recipe)) {
    return Error{Code::kInvalidArgument,
                 fmt::format("opening the run {}: it was made by another recipe: {}, the same was wanted; give the run "
                             "another name or output, or remove the folder",
                             folder.string(), *difference)};
  }
  return {};
}

// What a run consists of. The records go last: a move that was cut short leaves a folder that still says that it was a
// run, and how far it was.
constexpr std::array kSetAsideNames = {kCheckpointsFolder, kMetricsFile, kSamplesFile, kTensorBoardFolder,
                                       kModelFolder,       kReportFile,  kRunFile,     kRecipeFile};

Error set_aside_error(const fs::path& folder, const fs::path& what, int error_number) {
  return {Code::kUnavailable, fmt::format("setting the old run in {} aside: {}: {}; choose another output=FOLDER",
                                          folder.string(), what.filename().string(), std::strerror(error_number))};
}

// Moves what a run left into a new folder inside of its own; "" where none left anything. A folder that never was a
// run's is left alone.
Result<fs::path> move_aside(const fs::path& folder) {
  std::vector<fs::path> names;
  NARU_ASSIGN(const bool has_recipe, is_anything(folder / kRecipeFile));
  NARU_ASSIGN(const bool has_record, is_anything(folder / kRunFile));
  if (!has_recipe && !has_record) return fs::path();
  for (const char* name : kSetAsideNames) {
    for (const fs::path& path : {aside_of(folder / name), folder / name}) {
      NARU_ASSIGN(const bool is_there, is_anything(path));
      if (is_there) names.push_back(path.filename());
    }
  }
  if (names.empty()) return fs::path();
  fs::path target;
  for (int64_t number = 1; target.empty(); ++number) {
    const fs::path path = folder / fmt::format("{}{}", kSetAsideMark, number);
    if (::mkdir(path.c_str(), 0755) == 0) {
      target = path;
    } else if (errno != EEXIST) {
      return set_aside_error(folder, path, errno);
    }
  }
  for (const fs::path& name : names) {
    if (::rename((folder / name).c_str(), (target / name).c_str()) != 0) return set_aside_error(folder, name, errno);
  }
  NARU_TRY(sync_folder(target));
  NARU_TRY(sync_folder(folder));
  return target;
}

// Files and folders of a run that a killed process was writing. Nobody else writes here, as the folder is locked.
Status remove_unfinished(const fs::path& folder) {
  std::vector<fs::path> found;
  std::error_code code;
  for (fs::directory_iterator place(folder, code), end; !code && place != end; place.increment(code)) {
    const std::string name = place->path().filename().string();
    const bool is_ours = std::any_of(kSetAsideNames.begin(), kSetAsideNames.end(), [&](const char* ours) {
      return is_partial_of(name, ours) || is_partial_of(name, aside_of(ours).string());
    });
    if (is_ours && !is_being_written(place->path())) found.push_back(place->path());
  }
  for (const fs::path& path : found) {
    fs::remove_all(path, code);
    if (code) {
      return Error{Code::kUnavailable, fmt::format("removing {}, which a killed process left: {}; check that it may be "
                                                   "removed",
                                                   path.string(), code.message())};
    }
  }
  return {};
}

// Events come late; that they cannot be written is said before anything is changed.
Status check_events(const fs::path& path) {
  NARU_ASSIGN(const bool is_there, is_anything(path));
  std::error_code code;
  if (!is_there || (fs::is_directory(path, code) && ::access(path.c_str(), W_OK) == 0)) return {};
  return Error{Code::kUnavailable, fmt::format("opening {}: it is no folder that may be written; move it away, and the "
                                               "run makes a new one",
                                               path.string())};
}

Result<OrderedJson> read_info(const fs::path& path) {
  NARU_ASSIGN(const bool is_there, is_anything(path));
  if (!is_there) return OrderedJson();
  NARU_ASSIGN(const std::string text, read_file(path, kRunFileBytesMax));
  auto parsed = formats::parse_json(as_bytes(text), path.string());
  if (parsed.ok() && parsed->is_object()) return OrderedJson(*parsed);
  return Error{
      Code::kCorrupt,
      fmt::format("{}. It is only the record of the run: move it away, and the run goes on without it",
                  parsed.ok() ? fmt::format("reading {}: it is no object", path.string()) : parsed.error().message)};
}

}  // namespace

struct RunFolder::State {
  fs::path path;
  RunLock lock;
  bool is_new = false;
  fs::path set_aside;
  std::string recipe;  // as it will be written
  std::string name;
  AppendFile metrics;
  AppendFile samples;
  EventFile events;
  std::optional<int64_t> first_again;  // steps from here on are in older event files too
  OrderedJson info;

  Status apply(const LineRewind& metrics_rewind, const LineRewind& samples_rewind, int64_t step);
  Status write_info() {
    NARU_TRY(lock.check());
    return write_whole(path / kRunFile, info.dump(2, ' ', false, OrderedJson::error_handler_t::replace) + "\n");
  }
};

RunFolder::RunFolder(std::unique_ptr<State> state) : state_(std::move(state)) {}
RunFolder::RunFolder(RunFolder&&) noexcept = default;
RunFolder& RunFolder::operator=(RunFolder&&) noexcept = default;
RunFolder::~RunFolder() = default;

Result<RunFolder> RunFolder::open(const fs::path& folder, const Recipe& recipe, bool starts_over) {
  auto state = std::make_unique<State>();
  state->path = folder;
  std::error_code error;
  fs::create_directories(folder, error);
  if (error && !fs::is_directory(folder)) {
    return Error{Code::kUnavailable, fmt::format("making the run {}: {}; choose a folder that may be written",
                                                 folder.string(), error.message())};
  }
  NARU_ASSIGN(state->lock, RunLock::take(folder));
  if (starts_over) {
    NARU_ASSIGN(state->set_aside, move_aside(folder));
  }
  NARU_ASSIGN(const bool has_recipe, is_anything(folder / kRecipeFile));
  if (has_recipe) {
    NARU_TRY(check_recipe(folder, recipe));
  } else {
    NARU_ASSIGN(const bool fresh, is_fresh(folder));
    if (!fresh) {
      return Error{Code::kInvalidArgument, fmt::format("making the run {}: the folder has other files in it and no {}, "
                                                       "an empty or new one was wanted; give another output=FOLDER",
                                                       folder.string(), kRecipeFile)};
    }
  }
  NARU_ASSIGN(state->info, read_info(folder / kRunFile));
  state->is_new = state->info.is_null();
  state->recipe = recipe_text(recipe);
  state->name = recipe.name;
  return RunFolder(std::move(state));
}

Status RunFolder::begin(int64_t step, const nlohmann::json& data) {
  NARU_TRY(state_->lock.check());
  NARU_ASSIGN(const LineRewind metrics, LineRewind::plan(state_->path / kMetricsFile, step));
  NARU_ASSIGN(const LineRewind samples, LineRewind::plan(state_->path / kSamplesFile, step));
  NARU_TRY(check_events(state_->path / kTensorBoardFolder));
  NARU_TRY(remove_unfinished(state_->path));
  NARU_TRY(write_whole(state_->path / kRecipeFile, state_->recipe));
  NARU_TRY(state_->apply(metrics, samples, step));
  OrderedJson& info = state_->info;
  const std::string now = utc_text(now_seconds());
  info["format"] = 1;
  info["name"] = state_->name;
  info["status"] = "running";
  info.erase("reason");
  info["recipe_sha256"] = sha256_hex(as_bytes(state_->recipe));
  if (!info.contains("started")) info["started"] = now;
  info["updated"] = now;
  info["data"] = OrderedJson(data);
  return state_->write_info();
}

const fs::path& RunFolder::path() const {
  return state_->path;
}
fs::path RunFolder::checkpoints() const {
  return state_->path / kCheckpointsFolder;
}
fs::path RunFolder::model() const {
  return state_->path / kModelFolder;
}
bool RunFolder::is_new() const {
  return state_->is_new;
}
const fs::path& RunFolder::set_aside() const {
  return state_->set_aside;
}
nlohmann::json RunFolder::field(const char* key) const {
  return state_->info.contains(key) ? nlohmann::json(state_->info[key]) : nlohmann::json();
}
Status RunFolder::check() const {
  return state_->lock.check();
}

Status RunFolder::add(const Metrics& metrics) {
  const double now = now_seconds();
  // Written by hand: JSON knows no infinity, and such a value should stand as null, not as an error.
  OrderedJson line = {{"step", metrics.step}, {"time", std::round(now * 1000) / 1000}};
  for (const auto& [name, value] : metrics.values) {
    line[name] = std::isfinite(value) ? OrderedJson(value) : OrderedJson(nullptr);
  }
  NARU_TRY(state_->metrics.append(json_line(line) + "\n"));
  if (!state_->events.is_open()) {
    NARU_ASSIGN(state_->events, EventFile::create(state_->path / kTensorBoardFolder, now));
    if (state_->first_again) NARU_TRY(state_->events.restart(now, *state_->first_again));
  }
  return state_->events.add(now, metrics.step, metrics.values);
}

Status RunFolder::add(const Sample& sample) {
  const OrderedJson line = {{"step", sample.step}, {"prompt", sample.prompt}, {"answer", sample.answer}};
  return state_->samples.append(json_line(line) + "\n");
}

Status RunFolder::rewind(int64_t step) {
  NARU_ASSIGN(const LineRewind metrics, LineRewind::plan(state_->path / kMetricsFile, step));
  NARU_ASSIGN(const LineRewind samples, LineRewind::plan(state_->path / kSamplesFile, step));
  return state_->apply(metrics, samples, step);
}

Status RunFolder::State::apply(const LineRewind& metrics_rewind, const LineRewind& samples_rewind, int64_t step) {
  NARU_TRY(lock.check());
  NARU_TRY(metrics_rewind.apply());
  NARU_TRY(samples_rewind.apply());
  first_again = step + 1;
  events = EventFile();
  NARU_ASSIGN(metrics, AppendFile::open(path / kMetricsFile));
  NARU_ASSIGN(samples, AppendFile::open(path / kSamplesFile));
  return {};
}

Status RunFolder::settle(int64_t step, bool has_later) {
  NARU_TRY(settle_lines(state_->path / kMetricsFile, step, has_later));
  return settle_lines(state_->path / kSamplesFile, step, has_later);
}

Status RunFolder::set(const std::vector<std::pair<std::string, std::string>>& texts,
                      const std::vector<std::pair<std::string, double>>& numbers) {
  constexpr double kWholeMax = 9007199254740992.0;  // 2^53: doubles below are exact as whole numbers
  for (const auto& [key, text] : texts) state_->info[key] = text;
  for (const auto& [key, number] : numbers) {
    if (!std::isfinite(number)) {
      state_->info[key] = nullptr;
    } else if (number == std::floor(number) && std::abs(number) < kWholeMax) {
      state_->info[key] = static_cast<int64_t>(number);
    } else {
      state_->info[key] = number;
    }
  }
  state_->info["updated"] = utc_text(now_seconds());
  return state_->write_info();
}

}  // namespace naru::train
