// The folder of a run: lock first, then the recipe that is in it against the one that is asked for, then its files.
#include "train/run_folder.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstring>
#include <ctime>

#include "base/file.h"
#include "base/sha256.h"
#include "formats/json.h"
#include "train/append_file.h"
#include "train/json_lines.h"
#include "train/run_files.h"
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

// A file descriptor that closes itself.
class OwnedFd {
 public:
  explicit OwnedFd(int fd = -1) : fd_(fd) {}
  OwnedFd(OwnedFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  OwnedFd& operator=(OwnedFd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~OwnedFd() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }

 private:
  int fd_;
};

// The lock is the kernel's, on an open file: it ends with the process that holds it, whatever ends that. The number of
// the process is written into the file for the message only.
Result<OwnedFd> lock_folder(const fs::path& folder) {
  const fs::path path = folder / kLockFile;
  OwnedFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  if (fd.get() < 0) {
    return Error{Code::kUnavailable, fmt::format("opening the run {}: {}: {}; choose a folder that may be written",
                                                 folder.string(), kLockFile, std::strerror(errno))};
  }
  struct flock whole {};
  whole.l_type = F_WRLCK;
  whole.l_whence = SEEK_SET;
  if (::fcntl(fd.get(), F_OFD_SETLK, &whole) != 0) {
    const int error_number = errno;
    if (error_number != EAGAIN && error_number != EACCES) {
      return Error{Code::kUnavailable, fmt::format("opening the run {}: locking {}: {}; choose a folder on a disk that "
                                                   "knows locks",
                                                   folder.string(), kLockFile, std::strerror(error_number))};
    }
    char holder[16] = {};
    const ssize_t n = ::pread(fd.get(), holder, sizeof holder - 1, 0);
    std::string digits;
    for (ssize_t i = 0; i < n && holder[i] >= '0' && holder[i] <= '9'; ++i) digits += holder[i];
    return Error{Code::kUnavailable,
                 fmt::format("opening the run {}: another trainer{} is at work in it, one at a time was wanted; wait "
                             "for it, stop it, or give another output=FOLDER",
                             folder.string(), digits.empty() ? "" : fmt::format(" (process {})", digits))};
  }
  const std::string number = fmt::format("{}\n", ::getpid());
  (void)!::ftruncate(fd.get(), 0);
  (void)!::pwrite(fd.get(), number.data(), number.size(), 0);
  return fd;
}

// True where nothing is in the folder but what a run that was killed at once may have left.
Result<bool> is_fresh(const fs::path& folder) {
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (name != kLockFile && !name.starts_with(kRecipeFile)) return false;
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

}  // namespace

struct RunFolder::State {
  fs::path path;
  OwnedFd lock;
  bool is_new = false;
  AppendFile metrics;
  AppendFile samples;
  EventFile events;
  int64_t rewound_to = -1;
  OrderedJson info;

  Status write_info() {
    return write_whole(path / kRunFile, info.dump(2, ' ', false, OrderedJson::error_handler_t::replace) + "\n");
  }
  Status open_lines() {
    NARU_ASSIGN(metrics, AppendFile::open(path / kMetricsFile));
    NARU_ASSIGN(samples, AppendFile::open(path / kSamplesFile));
    return {};
  }
  // Lines of steps after `step` go; the file is replaced as a whole.
  Status drop_after(const char* name, int64_t step) {
    std::string kept;
    int64_t n_dropped = 0;
    NARU_ASSIGN(const int64_t n_bad,
                for_each_json_line(path / name, [&](const nlohmann::json& line, std::string_view text) {
                  if (json_whole(line, "step").value_or(0) > step) {
                    ++n_dropped;
                  } else {
                    kept.append(text);
                    kept += '\n';
                  }
                }));
    return n_dropped + n_bad > 0 ? write_whole(path / name, kept) : Status();
  }
};

RunFolder::RunFolder(std::unique_ptr<State> state) : state_(std::move(state)) {}
RunFolder::RunFolder(RunFolder&&) noexcept = default;
RunFolder& RunFolder::operator=(RunFolder&&) noexcept = default;
RunFolder::~RunFolder() = default;

Result<RunFolder> RunFolder::open(const fs::path& folder, const Recipe& recipe) {
  auto state = std::make_unique<State>();
  state->path = folder;
  std::error_code error;
  fs::create_directories(folder, error);
  if (error && !fs::is_directory(folder)) {
    return Error{Code::kUnavailable, fmt::format("making the run {}: {}; choose a folder that may be written",
                                                 folder.string(), error.message())};
  }
  NARU_ASSIGN(state->lock, lock_folder(folder));
  if (fs::exists(folder / kRecipeFile, error)) {
    NARU_TRY(check_recipe(folder, recipe));
  } else {
    NARU_ASSIGN(const bool fresh, is_fresh(folder));
    if (!fresh) {
      return Error{Code::kInvalidArgument, fmt::format("making the run {}: the folder has other files in it and no {}, "
                                                       "an empty or new one was wanted; give another output=FOLDER",
                                                       folder.string(), kRecipeFile)};
    }
  }
  const std::string text = recipe_text(recipe);
  NARU_TRY(write_whole(folder / kRecipeFile, text));
  state->is_new = !fs::exists(folder / kRunFile, error);
  if (!state->is_new) {
    NARU_ASSIGN(const std::string run, read_file(folder / kRunFile, kRunFileBytesMax));
    NARU_ASSIGN(const auto parsed, formats::parse_json(as_bytes(run), (folder / kRunFile).string()));
    state->info = OrderedJson(parsed);
  }
  state->info["format"] = 1;
  state->info["name"] = recipe.name;
  state->info["status"] = "running";
  state->info["recipe_sha256"] = sha256_hex(as_bytes(text));
  if (state->is_new) state->info["started"] = utc_text(now_seconds());
  state->info["updated"] = utc_text(now_seconds());
  NARU_TRY(state->write_info());
  for (const char* name : {kMetricsFile, kSamplesFile}) {
    NARU_ASSIGN([[maybe_unused]] const int64_t cut, mend_lines(folder / name));
  }
  NARU_TRY(state->open_lines());
  return RunFolder(std::move(state));
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
    if (state_->rewound_to >= 0) NARU_TRY(state_->events.restart(now, state_->rewound_to + 1));
  }
  return state_->events.add(now, metrics.step, metrics.values);
}

Status RunFolder::add(const Sample& sample) {
  const OrderedJson line = {{"step", sample.step}, {"prompt", sample.prompt}, {"answer", sample.answer}};
  return state_->samples.append(json_line(line) + "\n");
}

Status RunFolder::rewind(int64_t resumed_step) {
  NARU_TRY(state_->drop_after(kMetricsFile, resumed_step));
  NARU_TRY(state_->drop_after(kSamplesFile, resumed_step));
  state_->rewound_to = resumed_step;
  state_->events = EventFile();
  return state_->open_lines();
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
