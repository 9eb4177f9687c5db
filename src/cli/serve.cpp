#include "cli/serve.h"

#include <fmt/format.h>
#include <poll.h>

#include <cerrno>
#include <ctime>
#include <memory>

#include "base/memory.h"
#include "cli/find_model.h"
#include "cli/interrupts.h"
#include "cli/open_model.h"
#include "cli/options.h"
#include "cli/prompt.h"
#include "cli/serve_models.h"
#include "cli/terminal.h"
#include "cli/version.h"
#include "server/server.h"
#include "text/chat_tokenizer.h"

namespace naru::cli {
namespace {

constexpr int64_t kDrainSecondsMax = 86400;
constexpr int64_t kAnswerSecondsMax = 604800;
constexpr int64_t kPortMax = 65535;

struct ServeOptions {
  ModelOptions model;
  std::string name;                // the model is served by; empty: made of what was given
  std::vector<NamedModel> models;  // all that were given; `model` is the first
  std::optional<std::string> chat_template;
  std::string keys;  // a file
  bool is_quiet = false;
  int64_t cache_tokens = 0;  // 0: a full context for each answer at once
  server::ServerOptions server;
};

std::string served_name(const ServeOptions& options) {
  return options.name.empty() ? options.models[0].name : options.name;
}

void log_request(const server::RequestLog& log) {
  std::tm parts{};
  const std::time_t now = std::time(nullptr);
  localtime_r(&now, &parts);
  write_err(fmt::format("{:02}:{:02}:{:02} {}\n", parts.tm_hour, parts.tm_min, parts.tm_sec, server::log_text(log)));
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
  needs.cache_tokens = options.cache_tokens;
  needs.progress = progress;
  NARU_ASSIGN(OpenModel model, open_model(std::move(files), options.model, needs));
  const engine::Engine& engine = *model.engine;
  if (engine.tokenizer() == nullptr) {
    const Error& why = engine.tokenizer_status().error();
    return Error{why.code, fmt::format("starting the server: {}: no answers without a tokenizer: {}; put the "
                                       "tokenizer's files beside the weights",
                                       short_name(options.model.path), why.message)};
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
  const std::string with = is_socket ? fmt::format(" --unix-socket {}", options.server.listen.socket_path) : "";
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

// Until the server has ended by itself, or was asked to and has.
void wait_for_end(server::Server& server) {
  if (wait_to_read(server.ended_fd())) return;
  write_err("naru: ending: answers under way are finished (once more to end at once)\n");
  server.drain();
  pollfd ended{server.ended_fd(), POLLIN, 0};
  while (::poll(&ended, 1, -1) < 0 && errno == EINTR) {
  }
}

// Several models, each of which is loaded when a request names it.
Status serve_several(ServeOptions& options) {
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
  NARU_ASSIGN(const std::unique_ptr<server::Server> server, server::Server::listen(options.server));
  NARU_TRY(write_out(fmt::format("{} serves {}\n", server->address(), names)));
  server->start(std::move(sources), [] {});
  NARU_TRY(write_out(fmt::format("ready: each is loaded when a request names it, in {} of memory\n",
                                 format_bytes(planned[0].available))));
  wait_for_end(*server);
  return server->status();
}

Status serve_command(ServeOptions& options) {
  server::ServiceOptions& service = options.server.service;
  if (!options.keys.empty()) {
    NARU_ASSIGN(service.access.keys, server::read_keys(options.keys));
  }
  if (options.models.size() > 1) {
    service.version = version_line();
    if (!options.is_quiet) service.log = log_request;
    return serve_several(options);
  }
  std::optional<std::string> chat_template;
  if (options.chat_template) {
    NARU_ASSIGN(chat_template, text::read_chat_template(*options.chat_template));
  }
  // What is wrong with them is said before anybody is told an address. (Work for another thread must be copyable.)
  NARU_ASSIGN(models::ModelFiles opened, open_files(options.model));
  const auto files = std::make_shared<models::ModelFiles>(std::move(opened));
  service.answering.model_name = served_name(options);
  service.version = version_line();
  if (!options.is_quiet) service.log = log_request;
  Found found;  // outlives the server, whose threads write it
  NARU_ASSIGN(const std::unique_ptr<server::Server> server, server::Server::listen(options.server));
  NARU_TRY(write_out(fmt::format("{} serves {}\n", server->address(), service.answering.model_name)));
  server->start(
      [&, is_first = true](const models::LoadProgress& progress) mutable -> Result<server::ServedEngine> {
        if (!std::exchange(is_first, false)) {
          NARU_ASSIGN(*files, open_files(options.model));
        }
        return open_served(std::move(*files), options, chat_template, progress, found);
      },
      [&] {
        const Status said = write_out(
            fmt::format("ready after {:.2f} s: a context of {} tokens, {} answers at once\n{}", found.load_ms / 1000,
                        found.context, service.answering.parallel, lines_to_try(*server, options, found.has_template)));
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

std::vector<Flag> network_flags(const std::shared_ptr<ServeOptions>& o) {
  server::ListenOptions& listen = o->server.listen;
  server::AccessRules& access = o->server.service.access;
  return {
      {"host", "HOST", kGroupNetwork, "a name or an address of this machine; default 127.0.0.1",
       set_words(&listen.host)},
      {"port", "N", kGroupNetwork, "default 8080; 0: one that is free", set_whole(&listen.port, 0, kPortMax)},
      {"socket", "PATH", kGroupNetwork, "a Unix socket, in the place of an address", set_words(&listen.socket_path)},
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

// What the server does with its models, and how it tells.
std::vector<Flag> serving_flags(const std::shared_ptr<ServeOptions>& o) {
  server::ServiceOptions& service = o->server.service;
  return {
      {"lazy", "", kGroupAnswer, "load the model when a request asks for it, as several models are; else at the start",
       [&service](const Given&) -> Status {
         service.answering.loads_at_once = false;
         return {};
       }},
      {"metrics-names", "naru|vllm", kGroupOutput,
       "what /metrics calls its numbers; vllm: as boards that are made for vLLM know them; default naru",
       [&service](const Given& given) -> Status {
         NARU_ASSIGN(const size_t index, parse_word(given, {"naru", "vllm"}));
         service.metric_names = index == 1 ? server::MetricNames::kVllm : server::MetricNames::kNaru;
         return {};
       }},
      {"cache-tokens", "N", kGroupMachine,
       "that the cache holds of all answers together; default: a whole context for each that is computed at once. "
       "Where it is full, the newest waits",
       set_whole(&o->cache_tokens, 1, kTokensMax)},
  };
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
  model.help += "; NAME=MODEL says what requests call it";
  model.is_repeatable = true;
  model.set = [o](const Given& given) -> Status {
    NARU_TRY(add_named_model(&o->models)(given));
    o->model.path = o->models[0].path;
    return {};
  };
  c.arguments = {std::move(model)};
  c.flags = network_flags(o);
  for (Flag& flag : serving_flags(o)) c.flags.push_back(std::move(flag));
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
  c.flags.push_back({"quiet", "", kGroupOutput, "no line in the log for each request", set_on(&o->is_quiet)});
  c.flags.push_back(adapter_flag(o->model));
  add_model_flags(o->model, c.flags);
  std::erase_if(c.flags, [](const Flag& flag) { return flag.long_name == "explain"; });
  c.flags.push_back(context_flag(o->model));
  c.flags.push_back({"parallel", "N", kGroupMachine, "answers computed at once, of each model; default 4",
                     set_whole(&service.answering.parallel, 1, server::kParallelMax)});
  c.flags.push_back({"queue", "N", kGroupMachine, "requests that may wait besides; more are refused; default 512",
                     set_whole(&service.answering.queue, 0, server::kQueueMax)});
  c.examples = {
      {"naru serve model.gguf", "On http://127.0.0.1:8080, with a line to try it."},
      {"naru serve ./model --host 0.0.0.0 --keys keys.txt", "For other machines: each request needs a key."},
      {"naru serve small=./model big=./other", "Two models under names, each loaded when a request names it."},
      {"naru serve ./model --socket /run/naru.sock --parallel 16", "Behind a proxy, sixteen answers at once."}};
  c.check = [o]() -> Status {
    const bool is_of_one = !o->name.empty() || o->chat_template || o->model.adapter;
    if (o->models.size() > 1 && is_of_one) {
      return Error{Code::kInvalidArgument,
                   "reading the command line: naru serve: --name, --chat-template and --adapter are of one model, and "
                   "several were given; give NAME=MODEL, and serve a model with an adapter alone"};
    }
    if (o->keys.empty() || !o->server.listen.needs_no_key) return {};
    return Error{Code::kInvalidArgument,
                 "reading the command line: naru serve: --keys and --no-key were both given; give one of them"};
  };
  c.run = [o] { return serve_command(*o); };
  return c;
}

}  // namespace naru::cli
