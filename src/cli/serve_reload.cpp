#include "cli/serve_reload.h"

#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <vector>

#include "cli/terminal.h"
#include "server/tls.h"

namespace naru::cli {
namespace {

void say_note(const std::string& text) {
  if (is_error_stream_read()) print_note(text);
}

}  // namespace

bool is_error_stream_read() {
  pollfd reader{STDERR_FILENO, POLLOUT, 0};
  return ::poll(&reader, 1, 0) == 1;
}

void reload_served(const ServeOptions& options, server::Server& server, ServeLog* log) {
  std::string done;
  const auto say_done = [&done](std::string what) { done += (done.empty() ? "" : ", ") + what; };
  const auto say_kept = [](const Error& error) {
    say_note(fmt::format("{} (nothing of it has changed)", error.message));
  };
  if (log != nullptr) {
    const Status opened = log->reopen();
    if (!opened.ok()) say_kept(opened.error());
    if (opened.ok() && !options.log_file.empty()) say_done("the log opened anew");
  }
  std::vector<server::ApiKey> keys;
  if (!options.keys.empty()) {
    auto read = server::read_keys(options.keys);
    if (read.ok()) {
      keys = std::move(read).value();
      say_done(fmt::format("keys: {}", keys.size()));
    } else {
      say_kept(read.error());
    }
  }
  std::shared_ptr<const server::TlsContext> tls;
  if (!options.tls_cert.empty()) {
    auto opened = server::TlsContext::open(options.tls_cert, options.tls_key);
    if (opened.ok()) {
      tls = std::move(opened).value();
      if (!tls->note().empty()) say_note(tls->note());
      say_done("the certificate");
    } else {
      say_kept(opened.error());
    }
  }
  server.renew(std::move(keys), std::move(tls));
  say_note(fmt::format("hang-up: read again: {}", done.empty() ? "nothing" : done));
}

}  // namespace naru::cli
