// What `naru serve` was given.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cli/options.h"
#include "cli/serve_models.h"
#include "server/server.h"

namespace naru::cli {

struct ServeOptions {
  ModelOptions model;
  std::string name;                    // the model is served by; empty: made of what was given
  std::vector<NamedModel> models;      // all that were given; `model` is the first
  bool is_builtin_by_default = false;  // nobody named a model
  std::optional<std::string> chat_template;
  std::string keys;               // a file
  std::string tls_cert, tls_key;  // files; empty: plain HTTP
  std::string runs;               // a folder; empty: runs/, where it is there
  bool shows_no_runs = false;
  std::string log_file;               // empty: standard error
  std::vector<std::string> programs;  // whose settings are printed
  bool is_quiet = false;
  bool has_socket_mode = false;  // on the command line
  int64_t cache_tokens = 0;      // 0: a full context for each answer at once
  bool is_json_log = false;
  bool is_check = false;  // tells what would be served, and ends
  server::ServerOptions server;
};

// Serves until it is asked to end.
Status serve_command(ServeOptions& options);

}  // namespace naru::cli
