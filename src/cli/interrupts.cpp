#include "cli/interrupts.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <string_view>
#include <vector>

#include "base/partial.h"
#include "cli/terminal.h"

namespace naru::cli {
namespace {

// All that the handler touches is lock-free or set before it is installed.
std::atomic<bool> interrupted{false};
std::atomic<bool> asked_to_end{false};
std::atomic<int> last_signal{SIGINT};
std::atomic<bool> reloads_at_hangup{false}, had_terminal{false}, reload_asked{false};
// Readable once a signal came: whichever thread it came to, the one that waits is woken.
std::atomic<int> wake_fd{-1};
std::string_view reset_style;
std::string_view said_at_first;
std::atomic<bool> says_at_first{false};
static_assert(std::atomic<bool>::is_always_lock_free && std::atomic<int>::is_always_lock_free);

constexpr int kStatusOfSignal = 128;  // and its number

// Of the session; only what may be called in a signal handler.
bool has_terminal() {
  const int fd = ::open("/dev/tty", O_RDONLY | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
  if (fd >= 0) ::close(fd);
  return fd >= 0;
}

void wake() {
  const uint64_t one = 1;
  (void)!::write(wake_fd.load(), &one, sizeof one);
}

// Whether it was a hang-up that ends nothing.
bool take_hangup(int signal) {
  if (signal != SIGHUP || !reloads_at_hangup.load() || (had_terminal.load() && !has_terminal())) return false;
  reload_asked = true;
  wake();
  return true;
}

void on_signal(int signal) {
  const int error_number = errno;
  const bool is_reload = take_hangup(signal);
  errno = error_number;
  if (is_reload) return;
  const bool is_twice = interrupted.load();  // and nobody has heeded the first
  last_signal = signal;
  if (is_twice) {
    // Only what may be called in a signal handler.
    if (!reset_style.empty()) (void)!::write(STDOUT_FILENO, reset_style.data(), reset_style.size());
    (void)!::write(STDERR_FILENO, "\n", 1);
    restore_echo();
    remove_all_partials();
    ::_exit(kStatusOfSignal + signal);
  }
  if (says_at_first.load()) (void)!::write(STDERR_FILENO, said_at_first.data(), said_at_first.size());
  if (signal != SIGINT) asked_to_end = true;
  interrupted = true;
  wake();
  errno = error_number;
}

// Ends as the system would have it end, so that shells see a signal, with nothing left behind.
void on_ending_signal(int signal) {
  remove_all_partials();
  ::signal(signal, SIG_DFL);
  ::raise(signal);
}

// Those that are not ignored from the start, as under nohup or in a script's background: they stay so.
const std::vector<int>& heeded_signals() {
  static const std::vector<int> kHeeded = [] {
    std::vector<int> heeded;
    for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
      struct sigaction before {};
      if (::sigaction(signal, nullptr, &before) != 0 || before.sa_handler != SIG_IGN) heeded.push_back(signal);
    }
    return heeded;
  }();
  return kHeeded;
}

}  // namespace

void install_interrupts() {
  reset_style = style_code(Style::kPlain, Stream::kOut);
  wake_fd = ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  struct sigaction action {};
  action.sa_handler = on_signal;
  sigemptyset(&action.sa_mask);
  // No SA_RESTART: a read from the terminal must come back.
  for (const int signal : heeded_signals()) ::sigaction(signal, &action, nullptr);
  struct sigaction ignore {};
  ignore.sa_handler = SIG_IGN;
  sigemptyset(&ignore.sa_mask);
  // What these would end the program for is an error of the write.
  for (const int signal : {SIGPIPE, SIGXFSZ}) ::sigaction(signal, &ignore, nullptr);
}

void end_at_first_interrupt() {
  for (const int signal : heeded_signals()) ::signal(signal, on_ending_signal);
  if (interrupted.load()) ::_exit(interrupt_status());  // one that came before
}

void reload_at_hangup() {
  had_terminal = has_terminal();
  reloads_at_hangup = true;
}

bool take_reload() {
  return reload_asked.exchange(false);
}

void say_at_interrupt(std::string_view text) {
  said_at_first = text;
  says_at_first = ::isatty(STDERR_FILENO) == 1;
}

bool is_interrupted() {
  return interrupted.load();
}
void forget_interrupts() {
  interrupted = false;
}
bool is_asked_to_end() {
  return asked_to_end.load();
}
int interrupt_status() {
  return kStatusOfSignal + last_signal.load();
}

bool wait_to_read(int fd) {
  while (!is_interrupted() && !reload_asked.load()) {
    pollfd waits[] = {{fd, POLLIN, 0}, {wake_fd.load(), POLLIN, 0}};
    if (::poll(waits, 2, -1) < 0) continue;
    uint64_t n_signals = 0;
    if (waits[1].revents != 0) (void)!::read(waits[1].fd, &n_signals, sizeof n_signals);
    if (waits[0].revents != 0 && !is_interrupted()) return true;
  }
  return false;
}

}  // namespace naru::cli
