#include "cli/serve_options.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <filesystem>
#include <memory>

#include "base/memory.h"
#include "base/shown_text.h"
#include "cli/builtin_words.h"
#include "cli/find_model.h"
#include "cli/interrupts.h"
#include "cli/offered_prompts.h"
#include "cli/open_model.h"
#include "cli/options.h"
#include "cli/prompt.h"
#include "cli/serve_check.h"
#include "cli/serve_log.h"
#include "cli/serve_reload.h"
#include "cli/serve_runs.h"
#include "cli/serve_settings.h"
#include "cli/sheet.h"
#include "cli/shell_word.h"
#include "cli/terminal.h"
#include "cli/version.h"
#include "runs/run_files.h"
#include "server/limits.h"
#include "server/server.h"
#include "server/tls.h"
#include "text/chat_tokenizer.h"

namespace naru::cli {
namespace {

// Each connection is a descriptor, and many systems begin programs with fewer than there may be connections, though
// anybody may have more.
void allow_descriptors() {
  rlimit limit{};
  const rlim_t wanted = server::kConnectionsMax + 256;  // the model's files, the log, ...
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted) return;
  limit.rlim_cur = std::min(wanted, limit.rlim_max);
  (void)::setrlimit(RLIMIT_NOFILE, &limit);  // as it was, it will do too
}

std::string served_name(const ServeOptions& options) {
  return options.name.empty() ? options.models[0].name : options.name;
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
  bool has_tools = false;
  int64_t context = 0;
  double load_ms = 0;
};

Result<server::ServedEngine> open_served(models::ModelFiles files, const ServeOptions& options,
                                         const std::optional<std::string>& chat_template,
                                         const models::LoadProgress& progress, Found& found) {
  OpenNeeds needs{.context_tokens = options.model.context, .sessions_max = options.server.service.answering.parallel};
  needs.chat_template = chat_template;
  needs.cache_tokens = options.cache_tokens;
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
  const bool has_template = has_chat_template(engine) && engine.chat_template() != nullptr;
  found = {has_template, has_template && can_use_tools(*engine.chat_template()), engine.context_tokens(),
           model.load_ms};
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

// What a client is to be told: an address of all networks is none to be asked.
std::string asked_address(const server::Server& server) {
  std::string address = server.address();
  for (const char* all : {"//0.0.0.0:", "//[::]:"}) {
    const size_t place = address.find(all);
    if (place != std::string::npos) address.replace(place, std::string_view(all).size(), "//127.0.0.1:");
  }
  return address;
}

// How to ask, to be pasted into a shell.
std::string lines_to_try(const server::Server& server, const ServeOptions& options, bool is_chat) {
  const std::string address = asked_address(server);
  const bool is_socket = !options.server.listen.socket_path.empty();
  const std::string base = is_socket ? "http://localhost" : address;
  std::string with = is_socket ? fmt::format(" --unix-socket {}", shell_word(options.server.listen.socket_path)) : "";
  if (!options.tls_cert.empty()) with += fmt::format(" --cacert {}", shell_word(options.tls_cert));
  const std::string key = options.keys.empty() ? "" : " -H \"Authorization: Bearer $OPENAI_API_KEY\"";
  const bool is_builtin = builtin::is_builtin_model(options.model.path);
  const std::string_view asked = is_builtin ? builtin::builtin_questions().front() : "Why is the sky blue?";
  std::string text =
      fmt::format("curl{} {}/v1/{} -H 'Content-Type: application/json'{} -d '{}'\n", with, base,
                  is_chat ? "chat/completions" : "completions", key,
                  is_chat ? fmt::format(R"({{"messages": [{{"role": "user", "content": "{}"}}]}})", asked)
                          : R"({"prompt": "The sky is blue because", "max_tokens": 32})");
  if (!is_socket) {
    text += fmt::format("export OPENAI_BASE_URL={}/v1{}\n", base, options.keys.empty() ? " OPENAI_API_KEY=none" : "");
  }
  if (!is_socket) text += fmt::format("In a browser: {}/\n", address);
  return text;
}

// What is pasted into other programs, behind an empty line each.
std::string lines_for_programs(const server::Server& server, const ServeOptions& options, int64_t context,
                               bool has_tools) {
  const ServedAt at{asked_address(server), options.server.service.answering.model_name, context, !options.keys.empty(),
                    options.tls_cert};
  std::string text;
  if (!options.programs.empty() && !has_tools) {
    text += "\n# The model's chat template has no place for tools: what a program asks with tools will be refused.\n";
  }
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

// The folder of runs that was named must be there; the one that nobody named may come while the server runs.
Status find_runs(ServeOptions& options) {
  std::error_code error;
  const bool is_named = !options.runs.empty();
  const std::filesystem::path folder = is_named ? options.runs : "runs";
  // Whom nobody asks for a key is shown a folder only where it was named.
  if (options.shows_no_runs || (!is_named && options.server.listen.needs_no_key)) return {};
  if (is_named && !std::filesystem::is_directory(folder, error)) {
    return Error{Code::kNotFound,
                 fmt::format("looking for training runs: {}: there is no such folder; give the one that holds them "
                             "with --runs, or leave it out",
                             folder.string())};
  }
  options.server.service.runs = runs_source(folder);
  options.runs = folder.string();
  return {};
}

// Who may ask, and where the log goes: rows of what would be served.
void add_access_rows(const ServeOptions& options, Sheet& sheet) {
  const server::ServiceOptions& service = options.server.service;
  sheet.row("keys", options.keys.empty()
                        ? "none is needed"
                        : fmt::format("{}, of {}", service.access.keys.size(), one_line(options.keys)));
  sheet.row("training runs", service.runs.list ? one_line(options.runs) : "none are shown");
  sheet.row("TLS", options.tls_cert.empty() ? "none" : one_line(options.tls_cert));
  sheet.row("log", options.is_quiet
                       ? "none"
                       : fmt::format("{} to {}{}", options.is_json_log ? "JSON" : "text",
                                     options.log_file.empty() ? "standard error" : one_line(options.log_file),
                                     service.logs_prompts ? ", WITH PROMPTS" : ""));
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
  sheet.row("tools", check.has_tools ? "the template lists them" : "none: requests with tools are refused");
  add_access_rows(options, sheet);
  if (service.answering.replays_turns) sheet.row("turns with calls", "put back as they were sampled");
  if (!check.memory.note.empty()) print_note(check.memory.note);
  return write_out(sheet.str() + "\n" + lines_to_try(server, options, check.has_template) +
                   lines_for_programs(server, options, check.memory.context_tokens, check.has_tools));
}

Status print_check(const server::Server& server, const ServeOptions& options,
                   const std::vector<PlannedModel>& planned) {
  Sheet sheet(Stream::kOut);
  sheet.title(server.address(), fmt::format("  would serve {} models", planned.size()));
  for (size_t i = 0; i < planned.size(); ++i) {
    sheet.row(one_line(options.models[i].name),
              fmt::format("{}: a context of {} tokens, {}", one_line(options.models[i].path), planned[i].context,
                          format_bytes(planned[i].bytes)));
  }
  sheet.row("memory", fmt::format("{} are free", format_bytes(planned[0].available)));
  add_access_rows(options, sheet);
  return write_out(sheet.str() + "\n" + lines_for_programs(server, options, planned[0].context, true));
}

void drain(server::Server& server) {
  if (is_error_stream_read()) {
    write_err("naru: ending: answers under way are finished (once more to end at once)\n");
  }
  server.drain();
  pollfd ended{server.ended_fd(), POLLIN, 0};
  while (::poll(&ended, 1, -1) < 0 && errno == EINTR) {
  }
}

// Until the server has ended by itself, or was asked to and has.
void wait_for_end(const ServeOptions& options, server::Server& server, ServeLog* log) {
  while (!wait_to_read(server.ended_fd())) {
    if (is_interrupted()) return drain(server);
    if (take_reload()) reload_served(options, server, log);
  }
}

// Several models, each of which is loaded when a request names it.
Status serve_several(ServeOptions& options, ServeLog* log) {
  server::ServiceOptions& service = options.server.service;
  NARU_ASSIGN(const std::vector<PlannedModel> planned,
              plan_models(options.models, options.model, service.answering.parallel, options.cache_tokens));
  std::vector<server::ModelSource> sources;
  std::string names;
  for (size_t i = 0; i < planned.size(); ++i) {
    const auto own = std::make_shared<ServeOptions>(options);
    own->model.path = options.models[i].path;
    own->model.context = planned[i].context;
    const auto open = [own](const models::LoadProgress& progress) -> Result<server::ServedEngine> {
      const auto opened = [&]() -> Result<server::ServedEngine> {
        NARU_ASSIGN(models::ModelFiles files, open_files(own->model));
        Found found;
        return open_served(std::move(files), *own, std::nullopt, progress, found);
      };
      auto served = opened();  // clients are not told where the files lie
      if (!served.ok()) print_note(served.error().message);
      return served;
    };
    const auto hash = [own](const std::function<bool()>& should_stop) {
      return hash_files(own->model.path, should_stop);
    };
    sources.push_back({options.models[i].name, open, hash, planned[i].bytes});
    names += (i > 0 ? ", " : "") + options.models[i].name;
  }
  service.answering.memory_bytes = planned[0].available;
  service.answering.model_name = options.models[0].name;  // for the programs that are told of one
  NARU_ASSIGN(const std::unique_ptr<server::Server> server, server::Server::listen(options.server));
  if (options.is_check) return print_check(*server, options, planned);
  NARU_TRY(write_out(fmt::format("{} serves {}\n", server->address(), names)));
  server->start(std::move(sources), [] {});
  NARU_TRY(write_out(fmt::format("ready: each is loaded when a request names it, in {} of memory\n{}",
                                 format_bytes(planned[0].available),
                                 lines_for_programs(*server, options, planned[0].context, true))));
  wait_for_end(options, *server, log);
  return server->status();
}

}  // namespace

Status serve_command(ServeOptions& options) {
  server::ServiceOptions& service = options.server.service;
  allow_descriptors();
  NARU_TRY(read_access(options));
  NARU_TRY(find_runs(options));
  std::unique_ptr<ServeLog> log;  // outlives the server, whose threads write it
  if (!options.is_quiet && !options.is_check) {
    NARU_ASSIGN(log, ServeLog::open(options.log_file));
    service.log = [&log, is_json = options.is_json_log](const server::RequestLog& line) {
      log->write(log_line(line, is_json));
    };
  }
  service.version = version_line();
  if (service.logs_prompts && !options.is_check) {
    print_note("prompts are logged: the body of each request stands in the log, for whoever reads it");
  }
  if (options.is_builtin_by_default) note_builtin("is served");
  if (!options.is_check) reload_at_hangup();
  if (options.models.size() > 1) return serve_several(options, log.get());
  std::optional<std::string> chat_template;
  if (options.chat_template) {
    NARU_ASSIGN(chat_template, text::read_chat_template(*options.chat_template));
  }
  // What is wrong with them is said before anybody is told an address. (Work for another thread must be copyable.)
  NARU_ASSIGN(models::ModelFiles opened, open_files(options.model));
  service.questions = offered_prompts(options.model.path);
  const auto files = std::make_shared<models::ModelFiles>(std::move(opened));
  service.answering.model_name = served_name(options);
  Found found;  // outlives the server, whose threads write it
  NARU_ASSIGN(const std::unique_ptr<server::Server> server, server::Server::listen(options.server));
  if (options.is_check) {
    NARU_ASSIGN(const ModelCheck check, check_served_model(*files, options.model, service.answering.parallel,
                                                           options.cache_tokens, chat_template));
    return print_check(*server, options, check);
  }
  NARU_TRY(write_out(fmt::format("{} serves {}\n", server->address(), service.answering.model_name)));
  server->start(
      [&, is_first = true](const models::LoadProgress& progress) mutable -> Result<server::ServedEngine> {
        if (!std::exchange(is_first, false)) {
          NARU_ASSIGN(*files, open_files(options.model));
        }
        auto served = open_served(std::move(*files), options, chat_template, progress, found);
        // Clients are not told where the files lie; without --lazy the server ends with the error.
        if (!served.ok() && !service.answering.loads_at_once) print_note(served.error().message);
        return served;
      },
      [&] {
        const Status said = write_out(
            fmt::format("ready after {:.2f} s: a context of {} tokens, {} answers at once\n{}{}", found.load_ms / 1000,
                        found.context, service.answering.parallel, lines_to_try(*server, options, found.has_template),
                        lines_for_programs(*server, options, found.context, found.has_tools)));
        (void)said.ok();  // the server goes on without a reader of these lines
      },
      [path = options.model.path](const std::function<bool()>& should_stop) { return hash_files(path, should_stop); });
  wait_for_end(options, *server, log.get());
  return server->status();
}

}  // namespace naru::cli
