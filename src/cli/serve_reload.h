// What a hang-up (SIGHUP) has a running server read again: its keys and its certificate; and its log is opened anew.
#pragma once

#include "cli/serve_log.h"
#include "cli/serve_options.h"
#include "server/server.h"

namespace naru::cli {

// Whether a line to standard error would not wait: a pipe whose reader does not read would.
bool is_error_stream_read();

// What cannot be read is said, and stays as it was; so does what was given otherwise than by a file. `log` may be null.
void reload_served(const ServeOptions& options, server::Server& server, ServeLog* log);

}  // namespace naru::cli
