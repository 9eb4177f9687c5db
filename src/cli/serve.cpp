#include "cli/serve.h"

#include <fmt/format.h>

#include <memory>

#include "cli/builtin_words.h"
#include "cli/flag_values.h"
#include "cli/serve_options.h"
#include "cli/serve_settings.h"

namespace naru::cli {
namespace {

constexpr int64_t kDrainSecondsMax = 86400;
constexpr int64_t kAnswerSecondsMax = 604800;
constexpr int64_t kPortMax = 65535;

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

std::function<Status(const Given&)> set_mode(ServeOptions* options) {
  return [=](const Given& given) -> Status {
    const std::string& text = given.text;
    if (text.empty() || text.size() > 4 || text.find_first_not_of("01234567") != std::string::npos ||
        std::stoul(text, nullptr, 8) > 0777) {
      return bad_value(given, "a mode of a file in octal, as in 660");
    }
    options->server.listen.socket_mode = static_cast<uint32_t>(std::stoul(text, nullptr, 8));
    options->has_socket_mode = given.source == "--socket-mode";  // a service's environment may say it for a socket
    return {};
  };
}

// As browsers send it, or *.
std::function<Status(const Given&)> add_origin(std::vector<std::string>* target) {
  return [=](const Given& given) -> Status {
    if (given.text != "*" && !server::is_origin(given.text)) {
      return bad_value(given, "an origin, as in https://example.org or http://localhost:3000, or *",
                       "give scheme, name and port without a path");
    }
    target->push_back(given.text);
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
       set_mode(o.get())},
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
       add_origin(&access.origins), 0, true},
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
      {"replay-turns", "", kGroupAnswer,
       "put turns that called tools back into the prompt as the model sampled them, by the ids of their calls, and not "
       "as its chat template writes them; x-naru-replayed says where",
       set_on(&service.answering.replays_turns)},
      {"metrics-names", "naru|vllm", kGroupOutput,
       "what /metrics calls its numbers; vllm: as boards that are made for vLLM know them; default naru",
       [&service](const Given& given) -> Status {
         NARU_ASSIGN(const size_t index, parse_word(given, {"naru", "vllm"}));
         service.metric_names = index == 1 ? server::MetricNames::kVllm : server::MetricNames::kNaru;
         return {};
       }},
      {"runs", "FOLDER", kGroupOutput, "training runs that the page shows; default: runs, where it is or comes",
       set_words(&o->runs)},
      {"no-runs", "", kGroupOutput, "the page shows no training runs", set_on(&o->shows_no_runs)},
      {"cache-tokens", "N", kGroupMachine,
       "that the cache holds of all answers together; default: a whole context for each that is computed at once. "
       "Where it is full, the newest waits",
       set_whole(&o->cache_tokens, 1, kTokensMax)},
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
  if (o.models.size() > 1 && (!o.name.empty() || o.chat_template || o.model.adapter)) {
    return Error{Code::kInvalidArgument,
                 "reading the command line: naru serve: --name, --chat-template and --adapter are of one model, and "
                 "several were given; give NAME=MODEL, and serve a model with an adapter alone"};
  }
  const auto wrong = [](std::string_view what, std::string_view next = "give one of them") {
    return Error{Code::kInvalidArgument, fmt::format("reading the command line: naru serve: {}; {}", what, next)};
  };
  if (!o.keys.empty() && o.server.listen.needs_no_key) return wrong("--keys and --no-key were both given");
  if (o.tls_cert.empty() != o.tls_key.empty()) {
    return wrong(
        o.tls_cert.empty() ? "--tls-key was given without --tls-cert" : "--tls-cert was given without --tls-key",
        "give both, the certificate and its key");
  }
  if (!o.runs.empty() && o.shows_no_runs) return wrong("--runs and --no-runs were both given");
  const bool is_socket = !o.server.listen.socket_path.empty();
  if (o.has_socket_mode && !is_socket) {
    return wrong("--socket-mode was given without --socket", "give both, or leave it out");
  }
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

// Nobody named a model.
Status take_builtin(ServeOptions& o) {
  NARU_TRY(builtin_path("reading the command line: naru serve: MODEL is missing"));
  NARU_TRY(add_named_model(&o.models)({"MODEL", std::string(builtin::builtin_model()->path)}));
  o.model.path = o.models[0].path;
  o.is_builtin_by_default = true;
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
                "machine alone unless --host says otherwise. docs/server.md has the fields. At / is a page to chat "
                "with it, which shows what the server does and how training runs go, too. Without MODEL it serves the "
                "built-in one, which knows word problems and countdown and nothing else."};
  Argument model = model_argument(&o->model.path);
  model.help += "; NAME=MODEL says what requests call it";
  model.is_repeatable = true;
  model.is_required = false;
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
  for (Flag& flag : output_flags(o)) c.flags.push_back(std::move(flag));
  c.flags.push_back(adapter_flag(o->model));
  add_model_flags(o->model, c.flags);
  std::erase_if(c.flags, [](const Flag& flag) { return flag.long_name == "explain"; });
  c.flags.push_back(context_flag(o->model));
  c.flags.push_back({"parallel", "N", kGroupMachine, "answers computed at once, of each model; default 4",
                     set_whole(&service.answering.parallel, 1, server::kParallelMax)});
  c.flags.push_back({"queue", "N", kGroupMachine, "requests that may wait besides; more are refused; default 512",
                     set_whole(&service.answering.queue, 0, server::kQueueMax)});
  c.examples = {
      {"naru serve", "The built-in model: nothing is needed."},
      {"naru serve model.gguf", "On http://127.0.0.1:8080, with a line to try it."},
      {"naru serve ./model --host 0.0.0.0 --keys keys.txt", "For other machines: each request needs a key."},
      {"naru serve small=./model big=./other", "Two models under names, each loaded when a request names it."},
      {"naru serve ./model --socket /run/naru.sock --parallel 16", "Behind a proxy, sixteen answers at once."},
      {"naru serve ./model --for codex --check-config", "What Codex is to be told; nothing is started."}};
  c.check = [o]() -> Status {
    if (o->models.empty()) NARU_TRY(take_builtin(*o));
    return check_options(*o);
  };
  c.run = [o] { return serve_command(*o); };
  return c;
}

}  // namespace naru::cli
