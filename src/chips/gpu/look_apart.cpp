#include "chips/gpu/look_apart.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <vector>

#include "base/owned_fd.h"

namespace naru::gpu {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kPatienceMs = 60000, kEndMs = 2000;
constexpr size_t kAnswerMax = 16384;

// In the process that looks: an answer is the size of a text, and the text, "+" or "-" first.
[[noreturn]] void answer(const std::function<Result<std::string>()>& look, int fd) {
  const Result<std::string> found = look();
  std::string text = found.ok() ? "+" + *found : "-" + found.error().message;
  text.resize(std::min(text.size(), kAnswerMax));
  const auto size = static_cast<uint32_t>(text.size());
  text.insert(0, reinterpret_cast<const char*>(&size), sizeof(size));
  const ssize_t n = ::write(fd, text.data(), text.size());
  ::_exit(n == static_cast<ssize_t>(text.size()) ? 0 : 1);
}

// The text of an answer; empty where it is not whole.
std::string text_of(const std::string& answer) {
  uint32_t size = 0;
  if (answer.size() <= sizeof(size)) return {};
  std::memcpy(&size, answer.data(), sizeof(size));
  return answer.size() == sizeof(size) + size ? answer.substr(sizeof(size)) : std::string();
}

// What the child wrote; empty where it gave no answer in time. The end of the pipe is not waited for: a driver may
// leave a process that holds it.
std::string read_answer(int fd) {
  const Clock::time_point end = Clock::now() + std::chrono::milliseconds(kPatienceMs);
  std::string answer;
  char part[1024];
  while (answer.size() <= kAnswerMax + sizeof(uint32_t)) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - Clock::now()).count();
    if (left <= 0) return {};
    pollfd waiting{fd, POLLIN, 0};
    const int ready = ::poll(&waiting, 1, static_cast<int>(left));
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) return {};
    const ssize_t n = ::read(fd, part, sizeof(part));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return {};
    answer.append(part, static_cast<size_t>(n));
    if (std::string text = text_of(answer); !text.empty()) return text;
  }
  return {};
}

// The status of a child that ends; 0 where it does not, stuck in its driver, and is left.
int status_of(pid_t child) {
  int status = 0;
  for (int waited = 0; waited < kEndMs; waited += 10) {
    const pid_t ended = ::waitpid(child, &status, WNOHANG);
    if (ended == child) return status;
    if (ended < 0 && errno != EINTR) return 0;
    ::usleep(10000);
  }
  return 0;
}

std::vector<Look*>& all_looks() {
  static std::vector<Look*> looks;
  return looks;
}
std::mutex& looks_lock() {
  static std::mutex lock;
  return lock;
}

}  // namespace

Result<std::string> look_apart(const std::function<Result<std::string>()>& look, std::string_view doing,
                               std::string_view next) {
  const auto nothing = [&](std::string_view why) {
    return Error{Code::kUnavailable, fmt::format("{}: {}; {}", doing, why, next)};
  };
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return nothing("the system gives no pipe");
  OwnedFd read_end(ends[0]), write_end(ends[1]);
  const pid_t child = ::fork();
  if (child == 0) answer(look, write_end.get());
  if (child < 0) return nothing("the system gives no process to look with");
  write_end = OwnedFd();
  const std::string text = read_answer(read_end.get());
  if (text.empty()) ::kill(child, SIGKILL);
  const int status = status_of(child);
  if (text.empty() && WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL) {
    return nothing(fmt::format("a driver crashed when it was loaded (signal {})", WTERMSIG(status)));
  }
  if (text.empty())
    return nothing(fmt::format("a driver gave no answer in {} s, or ended the process", kPatienceMs / 1000));
  if (text.front() == '+') return text.substr(1);
  return Error{Code::kUnavailable, text.substr(1)};
}

Look::Look(Result<std::string> (*make)(), std::string (*where)()) : make_(make), where_(where) {
  const std::lock_guard guard(looks_lock());
  all_looks().push_back(this);
}

Result<std::string> Look::found() {
  const std::lock_guard guard(looks_lock());
  for (Look* look : all_looks()) look->answer();
  return answer();
}

const Result<std::string>& Look::answer() {
  const std::string where = where_();
  auto found = answers_.find(where);
  if (found == answers_.end()) found = answers_.emplace(where, make_()).first;
  return found->second;
}

std::string variable_line(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? fmt::format("{}\n", name) : fmt::format("{}={}\n", name, value);
}

}  // namespace naru::gpu
