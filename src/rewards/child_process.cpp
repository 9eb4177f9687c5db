#include "rewards/child_process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <utility>

namespace naru::rewards {
namespace {

namespace fs = std::filesystem;

constexpr int kFirstFree = 3;  // behind standard input, output and error output

// Both ends above the standard ones, so that none is in the way of another.
struct Pipe {
  OwnedFd read, write;
};
Result<Pipe> make_pipe() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
    return Error{Code::kResourceExhausted, fmt::format("making a pipe: {}", std::strerror(errno))};
  }
  Pipe pipe{OwnedFd(ends[0]), OwnedFd(ends[1])};
  for (OwnedFd* end : {&pipe.read, &pipe.write}) {
    if (end->get() >= kFirstFree) continue;
    *end = OwnedFd(::fcntl(end->get(), F_DUPFD_CLOEXEC, kFirstFree));
    if (end->get() < 0) return Error{Code::kResourceExhausted, fmt::format("making a pipe: {}", std::strerror(errno))};
  }
  return pipe;
}

bool may_be_run(const fs::path& path) {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode) && ::access(path.c_str(), X_OK) == 0;
}

// All that the child needs, made before it: it shares our memory until it has become the program, and may neither
// allocate nor return.
struct Launch {
  const char* program;
  char* const* arguments;
  const char* folder;
  int in, out, err;
  pid_t parent;
  rlim_t address_bytes;     // 0: any
  volatile int failed = 0;  // errno of what the child could not do
  const char* volatile what = nullptr;
};

[[noreturn]] void become_program(Launch& launch) {
  const auto fail = [&launch](const char* what) {
    launch.failed = errno;
    launch.what = what;
    ::_exit(127);
  };
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != launch.parent) ::_exit(127);  // it ended before it was asked to tell
  if (::dup2(launch.in, 0) < 0 || ::dup2(launch.out, 1) < 0 || ::dup2(launch.err, 2) < 0) fail("its pipes");
  (void)::close_range(kFirstFree, UINT_MAX, 0);  // whatever a library opened without O_CLOEXEC
  if (launch.address_bytes > 0) {
    const rlimit limit{launch.address_bytes, launch.address_bytes};
    if (::setrlimit(RLIMIT_AS, &limit) != 0) fail("its memory limit");
  }
  if (::chdir(launch.folder) != 0) fail("its folder");
  struct sigaction standard {};
  standard.sa_handler = SIG_DFL;
  for (int signal = 1; signal < NSIG; ++signal) ::sigaction(signal, &standard, nullptr);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::execve(launch.program, launch.arguments, environ);
  fail("the program");
  ::_exit(127);
}

// Not inlined: nothing of the caller's frame lives in registers over vfork(), which returns twice.
[[gnu::noinline]] pid_t launch_child(Launch& launch) {
  sigset_t all, before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);  // no handler of ours runs in the child
  const pid_t pid = ::vfork();
  if (pid == 0) become_program(launch);
  const int error_number = errno;
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (pid < 0) launch.failed = error_number;
  return pid;
}

void never_block(int fd) {
  ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK);
}

}  // namespace

Result<fs::path> find_program(const std::string& word, const fs::path& folder) {
  if (word.find('/') != std::string::npos) {
    const fs::path path = fs::absolute(folder / word);
    if (may_be_run(path)) return path;
    std::error_code ignored;
    return Error{Code::kNotFound,
                 fmt::format("{} {}; check reward.command (relative paths count from the recipe's "
                             "folder)",
                             path.string(), fs::exists(path, ignored) ? "may not be run" : "is not there")};
  }
  const char* path_list = std::getenv("PATH");
  std::string_view rest = path_list != nullptr ? path_list : "/usr/local/bin:/usr/bin:/bin";
  while (!rest.empty()) {
    const std::string_view place = rest.substr(0, rest.find(':'));
    rest.remove_prefix(std::min(place.size() + 1, rest.size()));
    if (place.empty()) continue;
    const fs::path path = fs::absolute(fs::path(place) / word);
    if (may_be_run(path)) return path;
  }
  return Error{Code::kNotFound, fmt::format("no folder of PATH has a program {}; install it, or give its path in "
                                            "reward.command (./{} for one in the recipe's folder)",
                                            word, word)};
}

Result<ChildProcess> ChildProcess::start(const ChildPlan& plan) {
  NARU_ASSIGN(Pipe in, make_pipe());
  NARU_ASSIGN(Pipe out, make_pipe());
  NARU_ASSIGN(Pipe err, make_pipe());
  std::vector<std::string> words = plan.arguments;
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  Launch launch{.program = plan.program.c_str(),
                .arguments = arguments.data(),
                .folder = plan.folder.c_str(),
                .in = in.read.get(),
                .out = out.write.get(),
                .err = err.write.get(),
                .parent = ::getpid(),
                .address_bytes = static_cast<rlim_t>(plan.address_bytes)};
  ChildProcess child;
  child.pid_ = launch_child(launch);
  if (child.pid_ < 0 || launch.failed != 0) {
    const int error_number = launch.failed;
    return Error{Code::kUnavailable,
                 fmt::format("starting {}: {}{}{}", plan.program.string(), launch.what != nullptr ? launch.what : "",
                             launch.what != nullptr ? ": " : "", std::strerror(error_number))};
  }
  child.in_ = std::move(in.write);
  child.out_ = std::move(out.read);
  child.err_ = std::move(err.read);
  for (const int fd : {child.in(), child.out(), child.err()}) never_block(fd);
  return child;
}

ChildProcess::ChildProcess(ChildProcess&& other) noexcept {
  *this = std::move(other);
}

ChildProcess& ChildProcess::operator=(ChildProcess&& other) noexcept {
  if (this != &other) {
    kill();
    pid_ = std::exchange(other.pid_, -1);
    status_ = other.status_;
    is_status_lost_ = other.is_status_lost_;
    in_ = std::move(other.in_);
    out_ = std::move(other.out_);
    err_ = std::move(other.err_);
  }
  return *this;
}

ChildProcess::~ChildProcess() {
  kill();
}

std::optional<std::string> ChildProcess::ended() {
  if (pid_ > 0) {
    int status = 0;
    const pid_t waited = ::waitpid(pid_, &status, WNOHANG);
    // Whoever started us may have SIGCHLD ignored: then the kernel waits for children itself.
    is_status_lost_ = waited < 0 && errno == ECHILD;
    if (waited != pid_ && !is_status_lost_) return std::nullopt;
    // Its children, if any are left in the group, have nobody to answer to.
    ::kill(-pid_, SIGKILL);
    pid_ = -1;
    status_ = status;
  }
  if (is_status_lost_) return "ended, how is not known as SIGCHLD is ignored";
  if (WIFEXITED(status_)) return fmt::format("ended with status {}", WEXITSTATUS(status_));
  return fmt::format("was ended by signal {} ({})", WTERMSIG(status_), ::strsignal(WTERMSIG(status_)));
}

void ChildProcess::kill() {
  if (pid_ <= 0) return;
  ::kill(-pid_, SIGKILL);
  ::kill(pid_, SIGKILL);
  while (::waitpid(pid_, &status_, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
}

ssize_t write_quietly(int fd, const char* bytes, size_t n) {
  sigset_t pipe_signal, before, waiting;
  ::sigemptyset(&pipe_signal);
  ::sigaddset(&pipe_signal, SIGPIPE);
  ::sigpending(&waiting);
  ::pthread_sigmask(SIG_BLOCK, &pipe_signal, &before);
  const ssize_t written = ::write(fd, bytes, n);
  const int error_number = errno;
  if (written < 0 && error_number == EPIPE && ::sigismember(&waiting, SIGPIPE) == 0) {
    const timespec now{};
    (void)::sigtimedwait(&pipe_signal, nullptr, &now);  // the one that this write raised
  }
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  errno = error_number;
  return written;
}

}  // namespace naru::rewards
