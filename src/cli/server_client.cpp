#include "cli/server_client.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "cli/interrupts.h"
#include "cli/json_text.h"
#include "cli/offered_prompts.h"
#include "cli/server_answer.h"
#include "cli/terminal.h"
#include "formats/json.h"
#include "formats/utf8.h"
#include "hub/address.h"
#include "hub/stream_http.h"
#include "server/access.h"

namespace naru::cli {
namespace {

constexpr int64_t kKeyFileBytesMax = 1 << 20;
constexpr int64_t kModelListBytesMax = 4 << 20;
constexpr int64_t kServerFactsBytesMax = 1 << 20;
constexpr std::string_view kUnixScheme = "unix:";

// The first word of the file: one of the server's own files of keys is one too.
Result<std::string> read_key(const std::string& file) {
  NARU_ASSIGN(const std::string text, read_file(file, kKeyFileBytesMax));
  size_t at = 0;
  while (at < text.size()) {
    const size_t end = std::min(text.find('\n', at), text.size());
    const std::string_view line = std::string_view(text).substr(at, end - at);
    at = end + 1;
    const size_t first = line.find_first_not_of(" \t\r");
    if (first == std::string_view::npos || line[first] == '#') continue;
    const std::string_view word = line.substr(first, line.find_first_of(" \t\r", first) - first);
    return std::string(word);
  }
  return Error{Code::kInvalidArgument,
               fmt::format("reading the key: {}: it holds none, one was wanted; write it there", one_line(file))};
}

Result<std::string> find_key(const RunOptions& options) {
  if (!options.api_key_file.empty()) return read_key(options.api_key_file);
  for (const char* name : {"NARU_API_KEY", "OPENAI_API_KEY"}) {
    const char* text = std::getenv(name);
    if (text == nullptr || *text == '\0') continue;
    if (formats::has_control_characters(text)) {
      return Error{Code::kInvalidArgument,
                   fmt::format("reading the key: {} holds control characters, which no key has; set it anew", name)};
    }
    return std::string(text);
  }
  return std::string();
}

// Host of an address that origin_of() took.
std::string host_of(const std::string& origin) {
  const size_t begin = origin.find("://") + 3;
  return origin.substr(begin, origin.rfind(':') - begin);
}

// What was asked for as JSON: only what somebody said, the rest is the server's to choose.
Json body_of(const ServerClient::Question& question, const std::string& model, const ChatSettings& settings,
             const std::vector<std::string>& stop) {
  Json body = {{"model", model}};
  if (question.is_raw) {
    body["prompt"] = question.text;
  } else {
    body["messages"] = Json::array();
    for (const Message& each : question.messages) {
      body["messages"].push_back({{"role", each.role}, {"content", each.content}});
    }
  }
  body["stream"] = true;
  body["stream_options"] = {{"include_usage", true}};
  const SamplingFlags& said = settings.said();
  const std::pair<const char*, std::optional<double>> numbers[] = {{"temperature", said.temperature},
                                                                   {"top_p", said.top_p},
                                                                   {"min_p", said.min_p},
                                                                   {"repetition_penalty", said.repetition_penalty},
                                                                   {"presence_penalty", said.presence_penalty},
                                                                   {"frequency_penalty", said.frequency_penalty}};
  for (const auto& [name, value] : numbers) {
    if (value) body[name] = *value;
  }
  if (said.top_k) body["top_k"] = *said.top_k;
  for (const auto& [id, bias] : said.logit_bias) body["logit_bias"][std::to_string(id)] = bias;
  if (settings.is_said("seed")) body["seed"] = static_cast<int64_t>(said.seed + question.sample);
  if (settings.max_tokens() > 0) body["max_tokens"] = settings.max_tokens();
  if (!stop.empty()) body["stop"] = stop;
  return body;
}

}  // namespace

Result<ServerClient> ServerClient::connect(const RunOptions& options) {
  ServerClient client;
  NARU_ASSIGN(client.key_, find_key(options));
  if (options.server.starts_with(kUnixScheme)) {
    client.unix_socket_ = options.server.substr(kUnixScheme.size());
    if (client.unix_socket_.empty()) {
      return Error{Code::kInvalidArgument,
                   "reading the command line: naru run: --server 'unix:' names no socket; write "
                   "its path: --server unix:/run/naru.sock"};
    }
    client.base_ = "http://localhost/v1";
    client.shown_ = one_line(options.server);
    client.is_direct_ = true;
  } else {
    NARU_ASSIGN(client.base_, hub::parse_endpoint(options.server, "--server"));
    NARU_ASSIGN(const std::string origin, hub::origin_of(client.base_));
    client.is_direct_ = server::is_loopback_host(host_of(origin));
    client.shown_ = client.base_;
    // "http://127.0.0.1:8080" is enough of an address; one with a path is taken as it is.
    const bool has_path = client.base_.find('/', client.base_.find("://") + 3) != std::string::npos;
    if (!has_path) client.base_ += "/v1";
    if (!client.key_.empty() && !client.is_direct_ && origin.starts_with("http://")) {
      print_note(fmt::format("the key goes to {} without TLS: whoever is on the way can read it", client.shown_));
    }
  }
  client.model_ = options.server_model;
  NARU_TRY(client.find_model(options));
  return client;
}

hub::StreamRequest ServerClient::request_to(std::string_view path) const {
  hub::StreamRequest request;
  request.address = base_ + std::string(path);
  request.unix_socket = unix_socket_;
  request.key = key_;
  request.is_direct = is_direct_;
  request.go_on = [] { return !is_interrupted(); };
  return request;
}

Status ServerClient::find_model(const RunOptions& options) {
  std::string text;
  hub::StreamRequest request = request_to("/models");
  request.silence_seconds = 60;
  request.take = [&text](std::string_view bytes) -> Status {
    text += bytes;
    if (static_cast<int64_t>(text.size()) <= kModelListBytesMax) return {};
    return Error{Code::kCorrupt, fmt::format("reading the server's models: the list has more than {} bytes, the most "
                                             "that is read; name one with --model",
                                             kModelListBytesMax)};
  };
  NARU_ASSIGN(const hub::StreamAnswer answer, hub::ask_streamed(request));
  if (answer.is_stopped) return Error{Code::kCancelled, ""};
  // A server without a list may still answer whoever names a model.
  if (answer.status != 200) return model_.empty() ? server_error(shown_, answer.status, answer.error_body) : Status();
  const auto json = formats::parse_json(as_bytes(text), "the server's list of models");
  const auto* data = json.ok() && json->contains("data") ? &(*json)["data"] : nullptr;
  if (data == nullptr || !data->is_array() || data->empty()) {
    if (!model_.empty()) return {};
    return Error{Code::kUnavailable, fmt::format("asking {}: its list of models is none, or empty; name the model with "
                                                 "--model NAME",
                                                 shown_)};
  }
  if (model_.empty() && data->size() > 1) {
    std::string names;
    for (size_t i = 0; i < std::min<size_t>(data->size(), 8); ++i) {
      const auto& id = (*data)[i].is_object() ? (*data)[i].value("id", nlohmann::json()) : nlohmann::json();
      if (id.is_string()) names += (names.empty() ? "" : ", ") + formats::printable(id.get<std::string>(), 80);
    }
    return Error{Code::kInvalidArgument,
                 fmt::format("asking {}: it serves {} models, one was wanted; choose with --model "
                             "NAME: {}{}",
                             shown_, data->size(), names, data->size() > 8 ? ", ..." : "")};
  }
  for (const auto& each : *data) {
    if (!each.is_object() || !each.contains("id") || !each["id"].is_string()) continue;
    const auto id = each["id"].get<std::string>();
    if (!model_.empty() && model_ != id) continue;
    model_ = id;
    for (const char* name : {"context_length", "max_model_len"}) {
      if (each.contains(name) && each[name].is_number_integer()) context_ = each[name].get<int64_t>();
    }
    break;
  }
  if (!model_.empty()) return {};
  return Error{Code::kUnavailable, fmt::format("asking {}: the models in its list have no names; name one with --model "
                                               "{}",
                                               shown_, options.server_model.empty() ? "NAME" : options.server_model)};
}

std::vector<std::string> ServerClient::questions() const {
  std::string text;
  hub::StreamRequest request = request_to("/server");
  request.silence_seconds = 5;
  request.take = [&text](std::string_view bytes) -> Status {
    text += bytes;
    const bool is_short = static_cast<int64_t>(text.size()) <= kServerFactsBytesMax;
    return is_short ? Status() : Error{Code::kCorrupt, "reading what the server says of itself: it is too long"};
  };
  const auto answer = hub::ask_streamed(request);
  if (!answer.ok() || answer->status != 200) return {};  // another server than naru's
  const auto json = formats::parse_json(as_bytes(text), "what the server says of itself");
  const auto* list = json.ok() && json->is_object() && json->contains("questions") ? &(*json)["questions"] : nullptr;
  if (list == nullptr || !list->is_array()) return {};
  std::vector<std::string> questions;
  for (const auto& each : *list) {
    if (each.is_string()) questions.push_back(each.get<std::string>());
  }
  return offers_among(questions);
}

void ServerClient::tell_notes(const std::vector<std::string>& fields, const std::string& answering_model) const {
  constexpr int64_t kShownNoteBytes = 1000, kShownNameBytes = 100;
  std::vector<std::string> notes;
  if (!fields[0].empty()) {
    const bool is_other = !answering_model.empty() && answering_model != model_;
    notes.push_back(fmt::format(
        "the server passed over: {}{}", formats::printable(fields[0], kShownNoteBytes),
        is_other ? fmt::format(" (the model that answers is {})", formats::printable(answering_model, kShownNameBytes))
                 : ""));
  }
  if (!fields[1].empty()) {
    notes.push_back(fmt::format("the server warns: {}", formats::printable(fields[1], kShownNoteBytes)));
  }
  for (std::string& note : notes) {
    if (std::find(told_.begin(), told_.end(), note) != told_.end()) continue;
    print_note(note);
    told_.push_back(std::move(note));
  }
}

Result<engine::Answer> ServerClient::ask(const Question& question, const ChatSettings& settings,
                                         const std::vector<std::string>& stop, AnswerView& view) const {
  ServerAnswer reader(view);
  std::string body = body_of(question, model_, settings, stop).dump(-1, ' ', false, Json::error_handler_t::replace);
  if (question.form != nullptr) {
    NARU_ASSIGN(const std::string field, form_field(*question.form));
    body.pop_back();
    body += fmt::format(",{}}}", field);
  }
  hub::StreamRequest request = request_to(question.is_raw ? "/completions" : "/chat/completions");
  request.body = std::move(body);
  request.wanted_fields = {"x-naru-ignored", "x-naru-warning"};
  request.take = [&reader](std::string_view bytes) { return reader.push(bytes); };
  NARU_ASSIGN(const hub::StreamAnswer answer, hub::ask_streamed(request));
  if (answer.is_stopped) return reader.stopped();
  if (answer.status != 200) return server_error(shown_, answer.status, answer.error_body);
  NARU_ASSIGN(engine::Answer whole, reader.finish(shown_));
  NARU_TRY(view.finish());
  tell_notes(answer.fields, reader.model());
  const bool has_ended = whole.reason == engine::FinishReason::kStop;
  if (question.form != nullptr && has_ended && stop.empty()) NARU_TRY(check_form(*question.form, whole.text));
  return whole;
}

}  // namespace naru::cli
