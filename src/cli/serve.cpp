#include "cli/serve.h"

#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <ctime>
#include <filesystem>
#include <memory>

#include "base/memory.h"
#include "base/shown_text.h"
#include "cli/find_model.h"
#include "cli/interrupts.h"
#include "cli/open_model.h"
#include "cli/options.h"
#include "cli/prompt.h"
#include "cli/serve_check.h"
#include "cli/serve_log.h"
#include "cli/serve_settings.h"
#include "cli/sheet.h"
#include "cli/terminal.h"
#include "cli/version.h"
#include "runs/run_files.h"
#include "server/server.h"
#include "server/tls.h"
#include "text/chat_tokenizer.h"

namespace naru::cli {
namespace {

constexpr int64_t kDrainSecondsMax = 86400;
constexpr int64_t kAnswerSecondsMax = 604800;
constexpr int64_t kPortMax = 65535;

struct ServeOptions {
  ModelOptions model;
  std::string name;  // the model is served by; empty: made of what was given
  std::string given;
  std::optional<std::string> chat_template;
  std::string keys;                   // a file
  std::string tls_cert, tls_key;      // files; empty: plain HTTP
  std::string log_file;               // empty: standard error
  std::vector<std::string> programs;  // whose settings are printed
  bool is_quiet = false;
  bool is_json_log = false;
  bool is_check = false;  // tells what would be served, and ends
  server::ServerOptions server;
};

std::string served_name(const ServeOptions& options) {
  if (!options.name.empty()) return options.name;
  std::error_code ignored;
  // The name of a pulled model says more than the folder that it lies in.
  if (!std::filesystem::exists(options.given, ignored)) return options.given;
  // So does the name of a run than "model", which is what each calls its own.
  const std::filesystem::path place = std::filesystem::absolute(options.given, ignored).lexically_normal();
  const std::filesystem::path folder = place.has_filename() ? place : place.parent_path();
  const bool is_of_run = folder.filename() == runs::kModelFolder &&
                         std::filesystem::exists(folder.parent_path() / runs::kRunFile, ignored);
  const std::string name = short_name(is_of_run ? folder.parent_path().string() : options.given);
  return name.ends_with(".gguf") && name.size() > 5 ? name.substr(0, name.size() - 5) : name;
}

std::string log_line(const server::RequestLog& log, bool is_json) {
  const auto now = std::chrono::system_clock::now();
  if (is_json) return server::log_json(log, now);
  std::tm parts{};
  const std::time_t seconds = std::chrono::system_clock::to_time_t(now);
  localtime_r(&seconds, &parts);
  return fmt::format("{:02}:{:02}:{:02} {}\n", parts.tm_hour, parts.tm_min, parts.tm_sec, server::log_text(log));
}

// What the thread of the engine found, for what is printed when the model is there.
struct Found {
  bool has_template = false;
  int64_t context = 0;
  double load_ms = 0;
};

Result<server::ServedEngine> open_served(models::ModelFiles files, const ServeOptions& options,
                                         const std::optional<std::string>& chat_template,
                                         const models::LoadProgress& progress, Found& found) {
  OpenNeeds needs{.context_tokens = options.model.context, .sessions_max = options.server.service.answering.parallel};
  needs.chat_template = chat_template;
  needs.progress = progress;
  NARU_ASSIGN(OpenModel model, open_model(std::move(files), options.model, needs));
  const engine::Engine& engine = *model.engine;
  if (engine.tokenizer() == nullptr) {
    return no_tokenizer_error(options.model, engine.tokenizer_status().error());
  }
  if (engine.chat_template() == nullptr) {
    print_note(fmt::format("{} has no chat template that can be used: /v1/completions alone answers ({})",
                           short_name(options.model.path), engine.template_status().error().message));
  }
  found = {has_chat_template(engine) && engine.chat_template() != nullptr, engine.context_tokens(), model.load_ms};
  const contract::ChipInfo info = model.chip->info();
  server::ServedEngine served;
  served.chip = std::move(model.chip);
  served.engine = std::move(model.engine);
  served.chip_name = info.level.empty() ? info.name : fmt::format("{}:{}", info.name, info.level);
  return served;
}

Result<std::vector<server::FileHash>> hash_files(const std::string& path, const std::function<bool()>& should_stop) {
  NARU_ASSIGN(models::ModelFiles files, models::open_model_files(path));
  NARU_ASSIGN(const std::vector<formats::FileDigest> digests,
              files.tensors.digests([&](int64_t, int64_t) { return !should_stop(); }));
  std::vector<server::FileHash> hashes;
  for (const formats::FileDigest& digest : digests) hashes.push_back({digest.name, digest.bytes, digest.sha256});
  return hashes;
}

// How to ask, to be pasted into a shell.
std::string lines_to_try(const server::Server& server, const ServeOptions& options, bool is_chat) {
  const std::string& address = server.address();
  const bool is_socket = !options.server.listen.socket_path.empty();
  const std::string base = is_socket ? "http://localhost" : address;
  std::string with = is_socket ? fmt::format(" --unix-socket {}", shell_word(options.server.listen.socket_path)) : "";
  if (!options.tls_cert.empty()) with += fmt::format(" --cacert {}", shell_word(options.tls_cert));
  const std::string key = options.keys.empty() ? "" : " -H \"Authorization: Bearer $OPENAI_API_KEY\"";
  std::string text = fmt::format("curl{} {}/v1/{} -H 'Content-Type: application/json'{} -d '{}'\n", with, base,
                                 is_chat ? "chat/completions" : "completions", key,
                                 is_chat ? R"({"messages": [{"role": "user", "content": "Why is the sky blue?"}]})"
                                         : R"({"prompt": "The sky is blue because", "max_tokens": 32})");
  if (!is_socket) {
    text += fmt::format("export OPENAI_BASE_URL={}/v1{}\n", base, options.keys.empty() ? " OPENAI_API_KEY=none" : "");
  }
  return text;
}

// What is pasted into other programs, behind an empty line each.
std::string lines_for_programs(const server::Server& server, const ServeOptions& options, int64_t context) {
  ServedAt at{server.address(), options.server.service.answering.model_name, context, !options.keys.empty(),
              options.tls_cert};
  // An address of all networks is none to be asked.
  for (const char* all : {"//0.0.0.0:", "//[::]:"}) {
    const size_t place = at.address.find(all);
    if (place != std::string::npos) at.address.replace(place, std::string_view(all).size(), "//127.0.0.1:");
  }
  std::string text;
  for (const std::string& program : options.programs) text += "\n" + settings_for(program, at);
  return text;
}

// Files that say who may ask, and how.
Status read_access(ServeOptions& options) {
  if (!options.keys.empty()) {
    NARU_ASSIGN(options.server.service.access.keys, server::read_keys(options.keys));
  }
  if (options.tls_cert.empty()) return {};
  NARU_ASSIGN(options.server.listen.tls, server::TlsContext::open(options.tls_cert, options.tls_key));
  if (!options.server.listen.tls->note().empty()) print_note(options.server.listen.tls->note());
  return {};
}

Status print_check(const server::Server& server, const ServeOptions& options, const ModelCheck& check) {
  const server::ServiceOptions& service = options.server.service;
  Sheet sheet(Stream::kOut);
  sheet.title(server.address(), fmt::format("  would serve {}", service.answering.model_name));
  sheet.row("model", fmt::format("{}, {} parameters", one_line(options.model.path), grouped(check.n_parameters)));
  sheet.row("chip", check.chip);
  sheet.row("context", fmt::format("{} tokens, {} answers at once, {} may wait", check.memory.context_tokens,
                                   service.answering.parallel, service.answering.queue));
  sheet.row("memory", fmt::format("{} of {} that are free", format_bytes(check.memory.needed_bytes()),
                                  format_bytes(check.memory.available_bytes)));
  sheet.row("chat template", check.has_template ? "usable" : "none: /v1/completions alone answers");
  if (!check.template_problem.empty()) sheet.row("", one_line(check.template_problem));
  sheet.row("keys", options.keys.empty()
                        ? "none is needed"
                        : fmt::format("{}, of {}", service.access.keys.size(), one_line(options.keys)));
  sheet.row("TLS", options.tls_cert.empty() ? "none" : one_line(options.tls_cert));
  sheet.row("log", options.is_quiet
                       ? "none"
                       : fmt::format("{} to {}{}", options.is_json_log ? "JSON" : "text",
                                     options.log_file.empty() ? "standard error" : one_line(options.log_file),
                                     service.logs_prompts ? ", WITH PROMPTS" : ""));
  if (!check.memory.note.empty()) print_note(check.memory.note);
  return write_out(sheet.str() + "\n" + lines_to_try(server, options, check.has_template) +
                   lines_for_programs(server, options, check.memory.context_tokens));
}

// Until the server has ended by itself, or was asked to and has.
void wait_for_end(server::Server& server) {
  if (wait_to_read(server.ended_fd())) return;
  pollfd reader{STDERR_FILENO, POLLOUT, 0};  // a pipe whose reader does not read would be waited for
  if (::poll(&reader, 1, 0) == 1) {
    write_err("naru: ending: answers under way are finished (once more to end at once)\n");
  }
  server.drain();
  pollfd ended{server.ended_fd(), POLLIN, 0};
  while (::poll(&ended, 1, -1) < 0 && errno == EINTR) {
  }
}

Status serve_command(ServeOptions& options) {
  server::ServiceOptions& service = options.server.service;
  NARU_TRY(read_access(options));
  std::optional<std::string> chat_template;
  if (options.chat_template) {
    NARU_ASSIGN(chat_template, text::read_chat_template(*options.chat_template));
  }
  // What is wrong with them is said before anybody is told an address. (Work for another thread must be copyable.)
  NARU_ASSIGN(models::ModelFiles opened, open_files(options.model));
  const auto files = std::make_shared<models::ModelFiles>(std::move(opened));
  service.answering.model_name = served_name(options);
  service.version = version_line();
  std::unique_ptr<ServeLog> log;  // outlives the server, as what it found does: its threads write both
  if (!options.is_quiet) {
    NARU_ASSIGN(log, ServeLog::open(options.log_file));
    service.log = [&log, is_json = options.is_json_log](const server::RequestLog& line) {
      log->write(log_line(line, is_json));
    };
  }
  Found found;
  NARU_ASSIGN(const std::unique_ptr<server::Server> server, server::Server::listen(options.server));
  if (options.is_check) {
    NARU_ASSIGN(const ModelCheck check,
                check_served_model(*files, options.model, service.answering.parallel, chat_template));
    return print_check(*server, options, check);
  }
  if (service.logs_prompts) {
    print_note("prompts are logged: the body of each request stands in the log, for whoever reads it");
  }
  NARU_TRY(write_out(fmt::format("{} serves {}\n", server->address(), service.answering.model_name)));
  server->start(
      [&](const models::LoadProgress& progress) {
        return open_served(std::move(*files), options, chat_template, progress, found);
      },
      [&] {
        const Status said = write_out(
            fmt::format("ready after {:.2f} s: a context of {} tokens, {} answers at once\n{}{}", found.load_ms / 1000,
                        found.context, service.answering.parallel, lines_to_try(*server, options, found.has_template),
                        lines_for_programs(*server, options, found.context)));
        (void)said.ok();  // the server goes on without a reader of these lines
      },
      [path = options.model.path](const std::function<bool()>& should_stop) { return hash_files(path, should_stop); });
  wait_for_end(*server);
  return server->status();
}

std::function<Status(const Given&)> set_whole(int64_t* target, int64_t low, int64_t high) {
  return [=](const Given& given) -> Status {
    NARU_ASSIGN(*target, parse_integer(given, low, high));
    return {};
  };
}

std::function<Status(const Given&)> set_seconds(server::seconds* target, int64_t high) {
  return [=](const Given& given) -> Status {
    NARU_ASSIGN(const int64_t n, parse_integer(given, 1, high));
    *target = server::seconds(n);
    return {};
  };
}

std::function<Status(const Given&)> set_words(std::string* target) {
  return [=](const Given& given) -> Status {
    if (given.text.empty()) return bad_value(given, "a text of at least one character");
    *target = given.text;
    return {};
  };
}

std::function<Status(const Given&)> add_words(std::vector<std::string>* target) {
  return [=](const Given& given) -> Status {
    if (given.text.empty()) return bad_value(given, "a text of at least one character");
    target->push_back(given.text);
    return {};
  };
}

std::function<Status(const Given&)> set_on(bool* target) {
  return [=](const Given&) -> Status {
    *target = true;
    return {};
  };
}

std::function<Status(const Given&)> set_mode(uint32_t* target) {
  return [=](const Given& given) -> Status {
    const std::string& text = given.text;
    if (text.empty() || text.size() > 4 || text.find_first_not_of("01234567") != std::string::npos ||
        std::stoul(text, nullptr, 8) > 0777) {
      return bad_value(given, "a mode of a file in octal, as in 660");
    }
    *target = static_cast<uint32_t>(std::stoul(text, nullptr, 8));
    return {};
  };
}

std::vector<Flag> network_flags(const std::shared_ptr<ServeOptions>& o) {
  server::ListenOptions& listen = o->server.listen;
  server::AccessRules& access = o->server.service.access;
  return {
      {"host", "HOST", kGroupNetwork, "a name or an address of this machine; default 127.0.0.1",
       set_words(&listen.host)},
      {"port", "N", kGroupNetwork, "default 8080; 0: one that is free", set_whole(&listen.port, 0, kPortMax)},
      {"socket", "PATH", kGroupNetwork, "a Unix socket, in the place of an address", set_words(&listen.socket_path)},
      {"socket-mode", "MODE", kGroupNetwork, "of its file, in octal; default 600: for this user alone",
       set_mode(&listen.socket_mode)},
      {"tls-cert", "FILE", kGroupNetwork,
       "speak HTTPS: the certificate in PEM form, then those that lead to its authority", set_words(&o->tls_cert)},
      {"tls-key", "FILE", kGroupNetwork, "the private key of --tls-cert", set_words(&o->tls_key)},
      {"keys", "FILE", kGroupNetwork,
       "API keys, one of which a request must have: one a line, maybe with a name behind it", set_words(&o->keys)},
      {"no-key", "", kGroupNetwork, "nobody needs a key, also where others can reach the address",
       set_on(&listen.needs_no_key)},
      {"allow-host", "NAME", kGroupNetwork, "besides the loopback's, a name that requests may call this server by",
       add_words(&access.hosts), 0, true},
      {"allow-origin", "ORIGIN", kGroupNetwork, "web pages that may ask: https://example.org, or *; default: none",
       add_words(&access.origins), 0, true},
  };
}

std::vector<Flag> output_flags(const std::shared_ptr<ServeOptions>& o) {
  return {
      {"for", std::string(kClientPrograms), kGroupOutput,
       "the settings of that program for this server, to be pasted; may be repeated",
       [o](const Given& given) -> Status {
         const std::vector<std::string> words = value_words(kClientPrograms);
         const std::vector<std::string_view> views(words.begin(), words.end());
         NARU_ASSIGN(const size_t index, parse_word(given, views));
         o->programs.push_back(words[index]);
         return {};
       },
       0, true, false},
      {"check-config", "", kGroupOutput, "read and check everything, say what would be served, and end",
       set_on(&o->is_check), 0, false, false},
      {"log", "FILE", kGroupOutput, "where the log goes, behind what the file holds; default: standard error",
       set_words(&o->log_file)},
      {"json-log", "", kGroupOutput, "the log as one JSON object a line", set_on(&o->is_json_log)},
      {"log-prompts", "", kGroupOutput, "what was asked stands in the log too; else it never does",
       set_on(&o->server.service.logs_prompts)},
      {"quiet", "", kGroupOutput, "no line in the log for each request", set_on(&o->is_quiet)},
  };
}

Status check_options(const ServeOptions& o) {
  const auto wrong = [](std::string_view what, std::string_view next = "give one of them") {
    return Error{Code::kInvalidArgument, fmt::format("reading the command line: naru serve: {}; {}", what, next)};
  };
  if (!o.keys.empty() && o.server.listen.needs_no_key) return wrong("--keys and --no-key were both given");
  if (o.tls_cert.empty() != o.tls_key.empty()) {
    return wrong(
        o.tls_cert.empty() ? "--tls-key was given without --tls-cert" : "--tls-cert was given without --tls-key",
        "give both, the certificate and its key");
  }
  const bool is_socket = !o.server.listen.socket_path.empty();
  if (is_socket && !o.tls_cert.empty()) {
    return wrong("--socket and --tls-cert were both given, and a Unix socket never leaves the machine");
  }
  if (is_socket && !o.programs.empty()) {
    return wrong("--socket and --for were both given, and the program asks at an address",
                 "leave --socket out, or --for");
  }
  if (o.is_quiet && (o.is_json_log || !o.log_file.empty() || o.server.service.logs_prompts)) {
    return wrong(fmt::format("--quiet and {} were both given", o.is_json_log         ? "--json-log"
                                                               : !o.log_file.empty() ? "--log"
                                                                                     : "--log-prompts"));
  }
  return {};
}

}  // namespace

Command make_serve() {
  auto o = std::make_shared<ServeOptions>();
  Command c{.name = "serve",
            .summary = "answer over HTTP, in the form of OpenAI's API",
            .description =
                "Serves a model over HTTP: chat completions and completions as OpenAI's clients ask for them. Many "
                "requests are computed together, and each answer is the one it would be alone. It listens on this "
                "machine alone unless --host says otherwise. docs/server.md has the fields."};
  Argument model = model_argument(&o->model.path);
  model.set = [set = model.set, o](const Given& given) -> Status {
    o->given = given.text;
    return set(given);
  };
  c.arguments = {std::move(model)};
  c.flags = network_flags(o);
  server::ServiceOptions& service = o->server.service;
  c.flags.push_back({"name", "TEXT", kGroupAnswer, "what the model is called in requests; default: by its path",
                     set_words(&o->name)});
  c.flags.push_back({"strict-model", "", kGroupAnswer, "refuse requests that name another model; else it is said",
                     set_on(&service.is_strict_model)});
  c.flags.push_back({"chat-template", "FILE", kGroupAnswer, "a Jinja chat template, in the place of the model's own",
                     [o](const Given& given) -> Status {
                       o->chat_template = given.text;
                       return {};
                     }});
  c.flags.push_back({"answer-seconds", "SECONDS", kGroupAnswer,
                     "that one answer may take, in the queue too; default 1800",
                     set_seconds(&service.deadlines.answer, kAnswerSecondsMax)});
  c.flags.push_back({"drain-seconds", "SECONDS", kGroupAnswer,
                     "for answers under way when the server is asked to end; default 30",
                     set_seconds(&o->server.drain, kDrainSecondsMax)});
  for (Flag& flag : output_flags(o)) c.flags.push_back(std::move(flag));
  c.flags.push_back(adapter_flag(o->model));
  add_model_flags(o->model, c.flags);
  std::erase_if(c.flags, [](const Flag& flag) { return flag.long_name == "explain"; });
  c.flags.push_back(context_flag(o->model));
  c.flags.push_back({"parallel", "N", kGroupMachine,
                     "answers computed at once, for each of which the cache holds a whole context; default 4",
                     set_whole(&service.answering.parallel, 1, server::kParallelMax)});
  c.flags.push_back({"queue", "N", kGroupMachine, "requests that may wait besides; more are refused; default 512",
                     set_whole(&service.answering.queue, 0, server::kQueueMax)});
  c.examples = {
      {"naru serve model.gguf", "On http://127.0.0.1:8080, with a line to try it."},
      {"naru serve ./model --host 0.0.0.0 --keys keys.txt", "For other machines: each request needs a key."},
      {"naru serve ./model --socket /run/naru.sock --parallel 16", "Behind a proxy, sixteen answers at once."},
      {"naru serve ./model --for codex --check-config", "What Codex is to be told; nothing is started."}};
  c.check = [o] { return check_options(*o); };
  c.run = [o] { return serve_command(*o); };
  return c;
}

}  // namespace naru::cli
