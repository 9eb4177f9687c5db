// All of it runs in a signal handler: write(2), and no memory of its own.
#include "cli/mapping_message.h"

#include <unistd.h>

#include <string_view>

#include "base/mapping_faults.h"
#include "base/result.h"
#include "cli/terminal.h"
#include "formats/utf8.h"

namespace naru::cli {
namespace {

bool wants_json = false;
std::string_view line_start;   // clears what progress wrote
std::string_view stdout_reset;  // of standard output

void write_text(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = ::write(fd, text.data(), text.size());
    if (n <= 0) return;
    text.remove_prefix(static_cast<size_t>(n));
  }
}

// The message has no control characters; bytes of it that are no UTF-8 (of a file's name) become U+FFFD.
void write_json(std::string_view message) {
  write_text(STDOUT_FILENO, "{\"error\": {\"code\": \"");
  write_text(STDOUT_FILENO, code_name(Code::kUnavailable));
  write_text(STDOUT_FILENO, "\", \"message\": \"");
  while (!message.empty()) {
    for (auto good = formats::utf8_valid_prefix(message); good > 0; --good) {
      if (message[0] == '"' || message[0] == '\\') write_text(STDOUT_FILENO, "\\");
      write_text(STDOUT_FILENO, message.substr(0, 1));
      message.remove_prefix(1);
    }
    if (message.empty()) break;
    write_text(STDOUT_FILENO, "\xef\xbf\xbd");
    message.remove_prefix(1);
  }
  write_text(STDOUT_FILENO, "\"}}\n");
}

void tell(std::string_view message) {
  write_text(STDOUT_FILENO, stdout_reset);
  restore_echo();
  write_text(STDERR_FILENO, line_start);
  write_text(STDERR_FILENO, "naru: ");
  write_text(STDERR_FILENO, message);
  write_text(STDERR_FILENO, "\n");
  if (wants_json) write_json(message);
}

}  // namespace

void say_when_a_mapping_fails(bool is_json) {
  wants_json = is_json;
  line_start = stderr_is_terminal() ? "\r\x1b[K" : "";
  stdout_reset = style_code(Style::kPlain, Stream::kOut);
  end_when_a_mapping_fails(tell);
}

}  // namespace naru::cli
