// The folder of a run: lock first, then the recipe that is in it against the one that is asked for, then its files.
#include "runs/run_folder.h"

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
#include <initializer_list>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/file_digest.h"
#include "base/folder.h"
#include "base/sha256.h"
#include "formats/json.h"
#include "runs/append_file.h"
#include "runs/json_lines.h"
#include "runs/run_files.h"
#include "runs/run_lines.h"
#include "runs/run_lock.h"
#include "runs/run_starts.h"
#include "runs/tensorboard.h"

namespace naru::runs {
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

// The folder and those above it that are missing; `made` are the new ones, the innermost last.
Status make_folders(const fs::path& folder, std::vector<fs::path>& made) {
  std::error_code error;
  std::vector<fs::path> missing;
  for (fs::path place = folder; !place.empty() && !fs::exists(place, error); place = place.parent_path()) {
    missing.push_back(place);
    if (place == place.parent_path()) break;
  }
  error.clear();
  for (size_t i = missing.size(); i-- > 0 && !error;) {
    if (fs::create_directory(missing[i], error)) made.push_back(missing[i]);
  }
  std::error_code ignored;
  if (fs::is_directory(folder, ignored)) return {};
  return Error{Code::kUnavailable,
               fmt::format("making the run {}: {}; choose a folder that may be written", folder.string(),
                           error ? error.message() : std::string("it is no folder"))};
}

// Nothing may be in the folder but what a run that was killed at once may have left.
Status check_fresh(const fs::path& folder) {
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (name != kLockFile && !name.starts_with(kRecipeFile) && !name.starts_with(kSetAsideMark)) {
      return Error{Code::kInvalidArgument, fmt::format("making the run {}: the folder has other files in it and no {}, "
                                                       "an empty or new one was wanted; give another output=FOLDER",
                                                       folder.string(), kRecipeFile)};
    }
  }
  if (error) {
    return Error{Code::kUnavailable, fmt::format("opening the run {}: listing it: {}; check that it may be read",
                                                 folder.string(), error.message())};
  }
  return {};
}

// The recipe that a run keeps. It names every key; where this one is missing a run of grpo shares no prompts.
Result<recipes::Recipe> kept_recipe(const fs::path& path) {
  NARU_ASSIGN(recipes::Recipe recipe, recipes::read_recipe(path, {}));
  NARU_ASSIGN(const std::string text, read_file(path, recipes::kRecipeBytesMax));
  const bool is_named = text.find("share_prompts") != std::string::npos;
  if (recipe.kind == recipes::RunKind::kGrpo && !is_named) recipe.grpo.share_prompts = false;
  return recipe;
}

Status check_recipe(const fs::path& folder, const recipes::Recipe& recipe) {
  const fs::path path = folder / kRecipeFile;
  NARU_ASSIGN(const recipes::Recipe there, kept_recipe(path));
  if (const auto difference = recipes::recipe_difference(there, recipe)) {
    return Error{Code::kInvalidArgument,
                 fmt::format("opening the run {}: it was made by another recipe: {}, the same was wanted; give the run "
                             "another name or output, or begin anew with --start-over, which sets the old run aside",
                             folder.string(), *difference)};
  }
  return {};
}

// What a run consists of. The records go last: a move that was cut short leaves a folder that still says that it was a
// run, and how far it was.
constexpr std::array kSetAsideNames = {
    kCheckpointsFolder, kMetricsFile, kSamplesFile,   kDroppedFile, kProblemsFile, kGroupsFile, kRewardsFile,
    kTensorBoardFolder, kModelFolder, kAdapterFolder, kReportFile,  kRunFile,      kRecipeFile};

Error set_aside_error(const fs::path& folder, const fs::path& what, int error_number) {
  return {Code::kUnavailable, fmt::format("setting the old run in {} aside: {}: {}; choose another output=FOLDER",
                                          folder.string(), what.filename().string(), std::strerror(error_number))};
}

// Where the files and folders of an old run went, by name.
struct OldRun {
  fs::path folder;
  fs::path target;
  std::vector<fs::path> names;

  // Moves all back that was moved; files of the names in `begun` are of the new run, and go.
  void put_back(const std::vector<std::string_view>& begun) const {
    for (const std::string_view name : begun) (void)::unlink((folder / name).c_str());
    for (const fs::path& name : names) (void)::rename((target / name).c_str(), (folder / name).c_str());
    (void)::rmdir(target.c_str());
  }
};

// Moves what a run left into a new folder inside of its own, all of it or nothing.
Result<OldRun> move_aside(const fs::path& folder) {
  OldRun old{.folder = folder, .target = {}, .names = {}};
  std::vector<fs::path> names;
  for (const char* name : kSetAsideNames) {
    for (const fs::path& path : {aside_of(folder / name), folder / name}) {
      NARU_ASSIGN(const bool is_there, is_anything(path));
      if (is_there) names.push_back(path.filename());
    }
  }
  for (int64_t number = 1; old.target.empty(); ++number) {
    const fs::path path = folder / fmt::format("{}{}", kSetAsideMark, number);
    if (::mkdir(path.c_str(), 0755) == 0) {
      old.target = path;
    } else if (errno != EEXIST) {
      return set_aside_error(folder, path, errno);
    }
  }
  for (const fs::path& name : names) {
    if (::rename((folder / name).c_str(), (old.target / name).c_str()) != 0) {
      const int error_number = errno;
      old.put_back({});
      return set_aside_error(folder, name, error_number);
    }
    old.names.push_back(name);
  }
  Status status = sync_folder(old.target);
  if (status.ok()) status = sync_folder(folder);
  if (status.ok()) return old;
  old.put_back({});
  return status.error();
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

// Cut behind a whole character.
std::string kept_text(std::string_view text) {
  if (text.size() <= kKeptTextBytesMax) return std::string(text);
  size_t end = kKeptTextBytesMax;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
  return std::string(text.substr(0, end)) + " ...";
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
  std::vector<fs::path> made;  // folders that opening made, the innermost last
  bool is_begun = false;
  bool is_new = false;
  bool has_steps = true;     // and lines of them: every kind but rejection
  bool starts_over = false;  // what is in the folder is an old run, to be set aside
  fs::path set_aside;
  std::string recipe;  // as it will be written
  std::string name;
  std::array<AppendFile, kLineFiles.size()> lines;  // as kLineFiles; one that the run has no use for stays closed
  EventFile events;
  std::optional<int64_t> first_again;  // steps from here on are in older event files too
  OrderedJson info;

  State() = default;
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  // A start that was refused leaves nothing behind.
  ~State() {
    if (is_begun) return;
    lock.remove_made();
    for (size_t i = made.size(); i-- > 0;) (void)::rmdir(made[i].c_str());
  }

  Status begin(int64_t step, const nlohmann::json& data);
  Result<std::vector<LineRewind>> plan_rewind(int64_t step) const;
  Status apply(const std::vector<LineRewind>& rewinds, int64_t step);
  Status append(std::string_view file, const OrderedJson& line);
  Status write_info() {
    NARU_TRY(lock.check());
    return write_whole(path / kRunFile, info.dump(2, ' ', false, OrderedJson::error_handler_t::replace) + "\n");
  }
};

RunFolder::RunFolder(std::unique_ptr<State> state) : state_(std::move(state)) {}
RunFolder::RunFolder(RunFolder&&) noexcept = default;
RunFolder& RunFolder::operator=(RunFolder&&) noexcept = default;
RunFolder::~RunFolder() = default;

Result<fs::path> set_run_aside(const fs::path& folder) {
  NARU_ASSIGN(const bool has_recipe, is_anything(folder / kRecipeFile));
  NARU_ASSIGN(const bool has_record, is_anything(folder / kRunFile));
  if (!has_recipe && !has_record) return fs::path();
  NARU_ASSIGN(const RunLock lock, RunLock::take(folder));
  NARU_ASSIGN(const OldRun old, move_aside(folder));
  return old.target;
}

Result<RunFolder> RunFolder::open(const fs::path& folder, const recipes::Recipe& recipe, bool starts_over) {
  auto state = std::make_unique<State>();
  state->path = folder;
  NARU_TRY(make_folders(folder, state->made));
  NARU_ASSIGN(state->lock, RunLock::take(folder));
  NARU_ASSIGN(const bool has_recipe, is_anything(folder / kRecipeFile));
  NARU_ASSIGN(const bool has_record, is_anything(folder / kRunFile));
  // A folder that never was a run's is none to start over in.
  state->starts_over = starts_over && (has_recipe || has_record);
  if (!state->starts_over) {
    if (has_recipe) {
      NARU_TRY(check_recipe(folder, recipe));
    } else {
      NARU_TRY(check_fresh(folder));
    }
    NARU_ASSIGN(state->info, read_info(folder / kRunFile));
  }
  state->is_new = state->info.is_null();
  state->has_steps = recipe.kind != recipes::RunKind::kRejection;
  state->recipe = recipes::recipe_text(recipe);
  state->name = recipe.name;
  return RunFolder(std::move(state));
}

Status RunFolder::begin(int64_t step, const nlohmann::json& data) {
  NARU_TRY(state_->lock.check());
  if (!state_->starts_over) return state_->begin(step, data);
  NARU_ASSIGN(const OldRun old, move_aside(state_->path));
  const Status status = state_->begin(step, data);
  if (status.ok()) {
    state_->set_aside = old.target;
    state_->starts_over = false;
  } else if (state_->lock.check().ok()) {  // else its path is another folder's
    std::vector<std::string_view> begun = {kRecipeFile, kRunFile};
    begun.insert(begun.end(), kLineFiles.begin(), kLineFiles.end());
    old.put_back(begun);
  }
  return status;
}

Status RunFolder::State::begin(int64_t step, const nlohmann::json& data) {
  NARU_ASSIGN(const std::vector<LineRewind> rewinds, plan_rewind(step));
  NARU_TRY(check_events(path / kTensorBoardFolder));
  NARU_TRY(remove_unfinished(path));
  NARU_TRY(write_whole(path / kRecipeFile, recipe));
  NARU_TRY(apply(rewinds, step));
  const std::string now = utc_text(now_seconds());
  info["format"] = 1;
  info["name"] = name;
  info["status"] = "running";
  info.erase("reason");
  info["recipe_sha256"] = sha256_hex(as_bytes(recipe));
  if (!info.contains("started")) info["started"] = now;
  info["updated"] = now;
  info["data"] = OrderedJson(data);
  begin_start(info, std::max<int64_t>(0, step), now);
  NARU_TRY(write_info());
  is_begun = true;
  return {};
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
fs::path RunFolder::adapter() const {
  return state_->path / kAdapterFolder;
}
bool RunFolder::is_new() const {
  return state_->is_new;
}
bool RunFolder::starts_over() const {
  return state_->starts_over;
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
  NARU_TRY(state_->append(kMetricsFile, line));
  if (!state_->events.is_open()) {
    NARU_ASSIGN(state_->events, EventFile::create(state_->path / kTensorBoardFolder, now));
    if (state_->first_again) NARU_TRY(state_->events.restart(now, *state_->first_again));
  }
  return state_->events.add(now, metrics.step, metrics.values);
}

Status RunFolder::add(const Sample& sample) {
  return state_->append(kSamplesFile, {{"step", sample.step}, {"prompt", sample.prompt}, {"answer", sample.answer}});
}

Status RunFolder::add(const ProblemAnswer& answer) {
  return state_->append(kProblemsFile, {{"step", answer.step},
                                        {"problem", answer.problem},
                                        {"prompt", kept_text(answer.prompt)},
                                        {"wanted", kept_text(answer.wanted)},
                                        {"answer", kept_text(answer.answer)},
                                        {"is_right", answer.is_right}});
}

Status RunFolder::add(const ShownGroup& group) {
  OrderedJson answers = OrderedJson::array();
  for (size_t i = 0; i < std::min(group.answers.size(), kGroupAnswersKept); ++i) {
    const ShownAnswer& answer = group.answers[i];
    answers.push_back({{"text", kept_text(answer.text)},
                       {"tokens", answer.tokens},
                       {"is_right", answer.is_right},
                       {"is_cut", answer.is_cut},
                       {"reward", answer.reward},
                       {"advantage", answer.advantage},
                       {"parts", answer.parts}});
  }
  return state_->append(kGroupsFile, {{"step", group.step},
                                      {"problem", group.problem},
                                      {"prompt", kept_text(group.prompt)},
                                      {"wanted", kept_text(group.wanted)},
                                      {"parts", group.part_names},
                                      {"n_answers", group.answers.size()},
                                      {"answers", std::move(answers)}});
}

Status RunFolder::rewind(int64_t step) {
  NARU_ASSIGN(const std::vector<LineRewind> rewinds, state_->plan_rewind(step));
  return state_->apply(rewinds, step);
}

Result<std::vector<LineRewind>> RunFolder::State::plan_rewind(int64_t step) const {
  std::vector<LineRewind> rewinds;
  if (!has_steps) return rewinds;
  for (const std::string_view file : kLineFiles) {
    NARU_ASSIGN(rewinds.emplace_back(), LineRewind::plan(path / file, step));
  }
  return rewinds;
}

Status RunFolder::State::apply(const std::vector<LineRewind>& rewinds, int64_t step) {
  NARU_TRY(lock.check());
  for (const LineRewind& rewind : rewinds) NARU_TRY(rewind.apply());
  first_again = step + 1;
  events = EventFile();
  for (size_t i = 0; i < lines.size(); ++i) {
    lines[i] = AppendFile();
    if (i >= kLineFilesOfAll || !has_steps) continue;
    NARU_ASSIGN(lines[i], AppendFile::open(path / kLineFiles[i]));
  }
  return {};
}

Status RunFolder::State::append(std::string_view file, const OrderedJson& line) {
  const auto i = static_cast<size_t>(std::find(kLineFiles.begin(), kLineFiles.end(), file) - kLineFiles.begin());
  if (!lines[i].is_open()) {
    NARU_ASSIGN(lines[i], AppendFile::open(path / file));
  }
  return lines[i].append(json_line(line) + "\n");
}

Status RunFolder::settle(int64_t step, bool has_later) {
  for (const std::string_view file : kLineFiles) NARU_TRY(settle_lines(state_->path / file, step, has_later));
  return {};
}

Status RunFolder::set_alarms(const std::vector<Alarm>& alarms) {
  OrderedJson list = OrderedJson::array();
  for (const Alarm& alarm : alarms) {
    list.push_back({{"step", alarm.step}, {"kind", alarm.kind}, {"what", alarm.what}, {"try", alarm.advice}});
  }
  if (list.empty() && !state_->info.contains("alarms")) return {};
  state_->info["alarms"] = std::move(list);
  return set({}, {});
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
  const bool has_step = std::any_of(numbers.begin(), numbers.end(), [](const auto& n) { return n.first == "step"; });
  update_start(state_->info, has_step);
  return state_->write_info();
}

}  // namespace naru::runs
