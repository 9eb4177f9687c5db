#include "cli/history.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "base/file.h"
#include "base/open_file.h"
#include "base/owned_fd.h"
#include "formats/utf8.h"

namespace naru::cli {
namespace fs = std::filesystem;
namespace {

constexpr mode_t kOwnFile = 0600, kOwnFolder = 0700;

std::string escaped(const std::string& message) {
  std::string line;
  for (const char c : message) {
    if (c == '\\') line += '\\';
    line += c == '\n' ? std::string("\\n") : std::string(1, c);
  }
  return line;
}

std::string unescaped(std::string_view line) {
  std::string message;
  for (size_t i = 0; i < line.size(); ++i) {
    const bool is_pair = line[i] == '\\' && i + 1 < line.size() && (line[i + 1] == '\\' || line[i + 1] == 'n');
    if (is_pair) ++i;
    message += is_pair && line[i] == 'n' ? '\n' : line[i];
  }
  return message;
}

// Tabs are no harm.
bool is_keepable(std::string line) {
  std::replace(line.begin(), line.end(), '\t', ' ');
  return formats::is_valid_utf8(line) && !formats::has_control_characters(line);
}

// The lock of the folder, for as long as the object lives. A disk without locks has none, and a holder that does not
// let go is not waited for any longer than a person would notice.
Result<OwnedFd> lock_folder(const fs::path& folder) {
  constexpr int kTries = 100;  // a second
  constexpr auto kPause = std::chrono::milliseconds(10);
  OwnedFd fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (fd.get() < 0) return not_readable_error(folder.string(), errno);
  for (int i = 0; ::flock(fd.get(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK; ++i) {
    if (i == kTries) {
      return Error{Code::kUnavailable,
                   fmt::format("writing the history: {}: another process holds its lock; the message is kept for later",
                               folder.string())};
    }
    std::this_thread::sleep_for(kPause);
  }
  return fd;
}

// A new file is the user's alone from its first byte, and so is what replaces it.
Status make_private(const fs::path& path) {
  const OwnedFd fd(::open(path.c_str(), O_RDONLY | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, kOwnFile));
  struct stat info {};
  if (fd.get() < 0 || ::fstat(fd.get(), &info) != 0) {
    return Error{Code::kUnavailable, fmt::format("writing the history: {}: {}; check the folder, or give --no-history",
                                                 path.string(), std::strerror(errno))};
  }
  if (S_ISREG(info.st_mode) && (info.st_mode & 0077) != 0) (void)!::fchmod(fd.get(), kOwnFile);
  return {};
}

// Folders that are missing are the user's alone.
Status make_folder(const fs::path& folder) {
  std::error_code code;
  if (fs::is_directory(folder, code)) return {};
  if (folder.has_parent_path() && folder.parent_path() != folder) NARU_TRY(make_folder(folder.parent_path()));
  if (::mkdir(folder.c_str(), kOwnFolder) == 0 || errno == EEXIST) return {};
  return Error{Code::kUnavailable, fmt::format("writing the history: making the folder {}: {}; check the folder above, "
                                               "or give --no-history",
                                               folder.string(), std::strerror(errno))};
}

// Empty where it is not there.
Result<std::string> read_history(const fs::path& path) {
  NARU_ASSIGN(const bool is_there, is_anything(path));
  if (!is_there) return std::string();
  return read_file(path, kHistoryBytesMax);
}

}  // namespace

std::vector<std::string> parse_history(std::string_view text) {
  std::vector<std::string> messages;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.empty() || line.size() > kHistoryLineBytesMax || !is_keepable(std::string(line))) continue;
    std::string message = unescaped(line);
    if (escaped(message).size() <= kHistoryLineBytesMax) messages.push_back(std::move(message));
  }
  if (messages.size() > kHistoryLinesMax) messages.erase(messages.begin(), messages.end() - kHistoryLinesMax);
  return messages;
}

std::string format_history(const std::vector<std::string>& messages) {
  std::vector<std::string> lines;  // the newest first
  size_t bytes = 0;
  for (auto message = messages.rbegin(); message != messages.rend() && lines.size() < kHistoryLinesMax; ++message) {
    std::string line = escaped(*message);
    if (line.size() > kHistoryLineBytesMax || !is_keepable(line)) continue;
    bytes += line.size() + 1;
    if (bytes > static_cast<size_t>(kHistoryBytesMax)) break;
    lines.push_back(std::move(line));
  }
  std::string text;
  for (auto line = lines.rbegin(); line != lines.rend(); ++line) text += *line + "\n";
  return text;
}

std::optional<fs::path> history_path() {
  const char* state = std::getenv("XDG_STATE_HOME");
  if (state != nullptr && *state == '/') return fs::path(state) / "naru" / "history";
  const char* home = std::getenv("HOME");
  if (home == nullptr || *home != '/') return std::nullopt;
  return fs::path(home) / ".local" / "state" / "naru" / "history";
}

Status History::open(fs::path path) {
  NARU_ASSIGN(const std::string text, read_history(path));
  std::vector<std::string> messages = parse_history(text);
  messages.insert(messages.end(), messages_.begin(), messages_.end());
  messages_ = std::move(messages);
  path_ = std::move(path);
  return {};
}

Status History::add(const std::string& message) {
  if (message.empty() || (!messages_.empty() && messages_.back() == message)) return {};
  messages_.push_back(message);
  if (path_.empty()) return {};
  waiting_.push_back(message);
  NARU_TRY(store());
  waiting_.clear();
  return {};
}

Status History::store() {
  NARU_TRY(make_folder(path_.parent_path()));
  NARU_ASSIGN(const OwnedFd lock, lock_folder(path_.parent_path()));
  NARU_ASSIGN(const std::string before, read_history(path_));
  std::vector<std::string> messages = parse_history(before);
  messages.insert(messages.end(), waiting_.begin(), waiting_.end());
  NARU_TRY(make_private(path_));
  NARU_ASSIGN(AtomicFile file, AtomicFile::create(path_));
  const std::string text = format_history(messages);
  NARU_TRY(file.write(as_bytes(text)));
  return file.commit();
}

std::optional<size_t> History::find(std::string_view part, size_t end) const {
  for (size_t i = std::min(end, messages_.size()); i > 0; --i) {
    if (messages_[i - 1].find(part) != std::string::npos) return i - 1;
  }
  return std::nullopt;
}

}  // namespace naru::cli
