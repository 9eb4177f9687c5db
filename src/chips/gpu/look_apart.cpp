#include "chips/gpu/look_apart.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>

#include "base/owned_fd.h"

namespace naru::gpu {
namespace {

constexpr int kPatienceMs = 20000;
constexpr size_t kAnswerMax = 16384;

// In the process that looks: an answer is "+" or "-" and a text.
[[noreturn]] void answer(const std::function<Result<std::string>()>& look, int fd) {
  const Result<std::string> found = look();
  std::string text = found.ok() ? "+" + *found : "-" + found.error().message;
  text.resize(std::min(text.size(), kAnswerMax - 1));
  const ssize_t n = ::write(fd, text.data(), text.size());
  ::_exit(n == static_cast<ssize_t>(text.size()) ? 0 : 1);
}

// What the child wrote until it ended; empty where it did not in time.
std::string read_answer(int fd) {
  std::string text;
  char part[1024];
  for (;;) {
    pollfd waiting{fd, POLLIN, 0};
    const int ready = ::poll(&waiting, 1, kPatienceMs);
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) return {};
    const ssize_t n = ::read(fd, part, sizeof(part));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0 || text.size() > kAnswerMax) return text;
    text.append(part, static_cast<size_t>(n));
  }
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
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL) {
    return nothing(fmt::format("a driver crashed when it was loaded (signal {})", WTERMSIG(status)));
  }
  if (text.empty())
    return nothing(fmt::format("a driver gave no answer in {} s, or ended the process", kPatienceMs / 1000));
  if (text.front() == '+') return text.substr(1);
  return Error{Code::kUnavailable, text.substr(1)};
}

}  // namespace naru::gpu
