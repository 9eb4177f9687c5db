#include "cli/terminal.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "base/partial.h"
#include "base/shown_text.h"
#include "cli/sheet.h"
#include "text/unicode.h"
#include "text/utf8.h"

namespace naru::cli {
namespace {

bool reader_gone = false;

// For restore_echo(): set before the flag, which a signal handler reads.
termios terminal_before;
std::atomic<bool> is_echo_off{false};

// Environment variables that ask for text without styles; https://no-color.org has the first.
bool may_style() {
  static const bool kMay = [] {
    const char* no_color = std::getenv("NO_COLOR");
    const char* term = std::getenv("TERM");
    return (no_color == nullptr || *no_color == '\0') && (term == nullptr || std::strcmp(term, "dumb") != 0);
  }();
  return kMay;
}

struct Range {
  uint32_t first, last;
};

// East Asian wide and fullwidth blocks and the emoji blocks, in whole ranges (Unicode TR 11).
constexpr Range kWide[] = {{0x1100, 0x115f},   {0x2e80, 0x303e},   {0x3041, 0xa4cf},   {0xa960, 0xa97c},
                           {0xac00, 0xd7a3},   {0xf900, 0xfaff},   {0xfe30, 0xfe6f},   {0xff00, 0xff60},
                           {0xffe0, 0xffe6},   {0x1f300, 0x1f64f}, {0x1f680, 0x1f6ff}, {0x1f900, 0x1f9ff},
                           {0x1fa70, 0x1faff}, {0x20000, 0x3fffd}};

// 0 on success, else errno.
int write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = ::write(fd, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
      pollfd wait{fd, POLLOUT, 0};
      (void)::poll(&wait, 1, -1);
      continue;
    }
    if (n < 0) return errno;
    text.remove_prefix(static_cast<size_t>(n));
  }
  return 0;
}

int screen_size(unsigned short winsize::*field, int unknown) {
  winsize size{};
  for (const int fd : {STDERR_FILENO, STDOUT_FILENO, STDIN_FILENO}) {
    if (::ioctl(fd, TIOCGWINSZ, &size) == 0 && size.*field > 0) return size.*field;
  }
  return unknown;
}

}  // namespace

void open_standard_streams() {
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; ++fd) {
    // The lowest free number is this one: those below are open.
    // Writing to a standard output that was closed must fail: nobody would get the answer.
    if (::fcntl(fd, F_GETFD) == -1 && errno == EBADF) {
      (void)::open("/dev/null", fd == STDERR_FILENO ? O_WRONLY : O_RDONLY);
    }
  }
}

bool stdin_is_terminal() {
  static const bool kIs = ::isatty(STDIN_FILENO) == 1;
  return kIs;
}
bool stdout_is_terminal() {
  static const bool kIs = ::isatty(STDOUT_FILENO) == 1;
  return kIs;
}
bool stderr_is_terminal() {
  static const bool kIs = ::isatty(STDERR_FILENO) == 1;
  return kIs;
}

std::string_view style_code(Style style, Stream stream) {
  if (!may_style() || !(stream == Stream::kOut ? stdout_is_terminal() : stderr_is_terminal())) return {};
  switch (style) {
    case Style::kPlain: return "\x1b[0m";
    case Style::kDim: return "\x1b[2m";
    case Style::kBold: return "\x1b[1m";
    case Style::kRed: return "\x1b[31m";
    case Style::kGreen: return "\x1b[32m";
    case Style::kCyan: return "\x1b[36m";
  }
  return {};
}

std::string styled(std::string_view text, Style style, Stream stream) {
  return fmt::format("{}{}{}", style_code(style, stream), text, style_code(Style::kPlain, stream));
}

int terminal_columns() {
  return screen_size(&winsize::ws_col, 80);
}
int terminal_height() {
  return screen_size(&winsize::ws_row, 24);
}

int64_t display_columns_of(uint32_t code_point) {
  if (code_point < 0x20 || code_point == 0x7f || (code_point >= 0x200b && code_point <= 0x200f)) return 0;
  if ((text::char_flags(code_point) & text::kMark) != 0 || code_point == 0xfe0f) return 0;
  return std::any_of(std::begin(kWide), std::end(kWide),
                     [code_point](const Range& r) { return code_point >= r.first && code_point <= r.last; })
             ? 2
             : 1;
}

int64_t display_columns(std::string_view text) {
  int64_t columns = 0;
  for (size_t i = 0; i < text.size();) {
    const text::CodePoint c = text::code_point_at(text.data() + i);
    columns += display_columns_of(c.value);
    i += c.bytes;
  }
  return columns;
}

std::string one_line(std::string_view text) {
  return without_controls_on_one_line(text::repair_utf8(text));
}

void stop_echo() {
  if (is_echo_off.load() || !stdin_is_terminal() || ::tcgetattr(STDIN_FILENO, &terminal_before) != 0) return;
  termios quiet = terminal_before;
  quiet.c_iflag &= ~static_cast<tcflag_t>(ICRNL);
  quiet.c_lflag &= ~static_cast<tcflag_t>(ECHO | ECHONL);
  quiet.c_cc[VEOF] = _POSIX_VDISABLE;  // Ctrl-D waits too: as an end of the input it would be lost
  is_echo_off = true;
  ::tcsetattr(STDIN_FILENO, TCSADRAIN, &quiet);
}

void restore_echo() {
  if (!is_echo_off.load()) return;
  ::tcsetattr(STDIN_FILENO, TCSADRAIN, &terminal_before);
  is_echo_off = false;
}

Status write_out(std::string_view text) {
  const int error_number = write_all(STDOUT_FILENO, text);
  if (error_number == 0) return {};
  if (error_number == EPIPE) {
    reader_gone = true;
    return Error{Code::kCancelled, ""};
  }
  const Code code = is_out_of_space(error_number) ? Code::kResourceExhausted : Code::kUnavailable;
  return Error{code, fmt::format("writing standard output: {} bytes could not be written: {}; "
                                 "free space there or send the output elsewhere",
                                 text.size(), std::strerror(error_number))};
}

void write_err(std::string_view text) {
  write_all(STDERR_FILENO, text);
}

void print_note(std::string_view text) {
  write_err(message_text("naru: note:", fmt::format(" {}", text), Style::kDim));
}

bool reader_is_gone() {
  return reader_gone;
}

}  // namespace naru::cli
