#include "cli/serve_log.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <climits>
#include <cstring>
#include <utility>

#include "cli/terminal.h"

namespace naru::cli {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kLookMs = 100;                         // between two looks at whether the log is to end
constexpr auto kLastWait = std::chrono::seconds(1);  // for a reader that does not read, at the end

Result<OwnedFd> open_log_file(const std::string& path) {
  // A pipe without a reader would be waited for.
  OwnedFd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0640));
  if (file.get() >= 0) return file;
  return Error{Code::kUnavailable,
               fmt::format("opening the log: {}: {}; give a file in a folder that may be written to", one_line(path),
                           std::strerror(errno))};
}

}  // namespace

Result<std::unique_ptr<ServeLog>> ServeLog::open(const std::string& path) {
  OwnedFd file;
  if (!path.empty()) {
    NARU_ASSIGN(file, open_log_file(path));
  }
  return std::unique_ptr<ServeLog>(new ServeLog(std::move(file), path));
}

ServeLog::ServeLog(OwnedFd file, std::string path)
    : path_(std::move(path)), file_(std::move(file)), thread_([this] { run(); }) {}

Status ServeLog::reopen() {
  if (path_.empty()) return {};
  NARU_ASSIGN(OwnedFd file, open_log_file(path_));
  {
    const std::lock_guard lock(mutex_);
    next_file_ = std::move(file);
    lines_before_next_ = lines_.size();
  }
  has_lines_.notify_one();
  return {};
}

int ServeLog::fd() const {
  return path_.empty() ? STDERR_FILENO : file_.get();
}

ServeLog::~ServeLog() {
  {
    const std::lock_guard lock(mutex_);
    is_stopping_ = true;
    give_up_ = Clock::now() + kLastWait;
  }
  has_lines_.notify_one();
  thread_.join();
}

void ServeLog::write(std::string line) {
  bool is_first_lost = false;
  {
    const std::lock_guard lock(mutex_);
    if (waiting_bytes_ + static_cast<int64_t>(line.size()) > kLogWaitingBytesMax) {
      is_first_lost = n_lost_++ == 0;
    } else {
      waiting_bytes_ += static_cast<int64_t>(line.size());
      lines_.push_back(std::move(line));
    }
  }
  if (is_first_lost) say_lost("nobody reads it");
  has_lines_.notify_one();
}

// Once is enough: where a log cannot be written every line would say so.
void ServeLog::lose(int64_t n, const std::string& why) {
  int64_t before = 0;
  {
    const std::lock_guard lock(mutex_);
    before = std::exchange(n_lost_, n_lost_ + n);
  }
  if (before == 0) say_lost(why);
}

void ServeLog::say_lost(const std::string& why) const {
  // Standard error that cannot be written could not be told so either.
  if (path_.empty()) return;
  print_note(fmt::format("lines of the log are lost: writing {}: {}; the server goes on", one_line(path_), why));
}

void ServeLog::run() {
  std::unique_lock lock(mutex_);
  while (true) {
    has_lines_.wait(lock, [this] { return is_stopping_ || !lines_.empty() || next_file_.get() >= 0; });
    if (next_file_.get() >= 0) {  // what came before it stands in the old one
      if (lines_before_next_ == 0) {
        file_ = std::exchange(next_file_, OwnedFd());
        n_lost_ = 0;
        continue;
      }
      --lines_before_next_;
    }
    if (lines_.empty()) return;
    const std::string line = std::move(lines_.front());
    lines_.pop_front();
    waiting_bytes_ -= static_cast<int64_t>(line.size());
    lock.unlock();
    std::string why;
    if (!put(line, why)) lose(1, why);
    lock.lock();
  }
}

// In parts that a pipe which is ready takes whole (POSIX), so that no write waits.
bool ServeLog::put(const std::string& line, std::string& why) {
  size_t done = 0;
  while (done < line.size()) {
    pollfd wait{fd(), POLLOUT, 0};
    const int n_ready = ::poll(&wait, 1, kLookMs);
    if (n_ready == 0 || (n_ready < 0 && errno == EINTR)) {
      const std::lock_guard lock(mutex_);
      if (!is_stopping_ || Clock::now() < give_up_) continue;
      why = "nobody reads it";
      return false;
    }
    const ssize_t n = ::write(fd(), line.data() + done, std::min<size_t>(line.size() - done, PIPE_BUF));
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (n <= 0) {
      why = n < 0 ? std::strerror(errno) : "it takes nothing";
      return false;
    }
    done += static_cast<size_t>(n);
  }
  return true;
}

}  // namespace naru::cli
