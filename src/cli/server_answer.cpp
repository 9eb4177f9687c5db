#include "cli/server_answer.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "cli/terminal.h"
#include "formats/json.h"
#include "formats/utf8.h"
#include "server/refusal.h"

namespace naru::cli {
namespace {

using Parsed = nlohmann::json;

constexpr int64_t kShownMessageBytes = 1000;

// The text of a field; empty where it has none.
std::string text_at(const Parsed& object, const char* name) {
  if (!object.is_object()) return {};
  const auto at = object.find(name);
  return at != object.end() && at->is_string() ? at->get<std::string>() : std::string();
}

int64_t count_at(const Parsed& object, const char* name) {
  if (!object.is_object()) return 0;
  const auto at = object.find(name);
  return at != object.end() && at->is_number_integer() ? at->get<int64_t>() : 0;
}

// {"error": {"message": ..., "code": ...}}, {"error": "..."}, {"message": ...}, or any other text.
struct Said {
  std::string message, code;
};
Said said_in(std::string_view body) {
  const auto json = formats::parse_json(as_bytes(body), "an error");
  if (!json.ok()) return {std::string(body), ""};
  const auto error = json->find("error");
  if (error != json->end() && error->is_string()) return {error->get<std::string>(), ""};
  const Parsed& object = error != json->end() && error->is_object() ? *error : *json;
  const std::string message = text_at(object, "message");
  return {message.empty() ? std::string(body) : message, text_at(object, "code")};
}

// Where a code says more than the status, it decides: what a model of this process refuses ends the same way by a
// server.
Code code_of(int64_t status, const std::string& code) {
  if (code == "context_length_exceeded") return Code::kOutOfRange;
  if (code == server::kNotDoneHere || code == "unsupported_value") return Code::kUnsupported;
  if (code == server::kFormTooLarge) return Code::kResourceExhausted;
  switch (status) {
    case 400:
    case 422: return Code::kInvalidArgument;
    case 404: return Code::kNotFound;
    case 413: return Code::kResourceExhausted;
    case 504: return Code::kDeadline;
    default: return Code::kUnavailable;
  }
}

}  // namespace

Error server_error(const std::string& server, int64_t status, std::string_view body) {
  const Said said = said_in(body);
  std::string_view next;
  if (status == 401 || status == 403) next = "; set NARU_API_KEY or OPENAI_API_KEY, or give --api-key-file FILE";
  if (status >= 300 && status < 400) next = "; give the address that it sends to";
  return {
      code_of(status, said.code),
      fmt::format("asking {}: it answered with status {}: {}{}", server, status,
                  said.message.empty() ? "nothing more" : formats::printable(said.message, kShownMessageBytes), next)};
}

ServerAnswer::ServerAnswer(AnswerView& view) : view_(view), begin_(Clock::now()) {}

Status ServerAnswer::push(std::string_view bytes) {
  if (form_ == Form::kUnknown) {
    bytes.remove_prefix(std::min(bytes.find_first_not_of(" \t\r\n"), bytes.size()));
    if (bytes.empty()) return {};
    form_ = bytes.front() == '{' ? Form::kWhole : Form::kEvents;  // some servers know no streams
  }
  if (form_ == Form::kWhole) {
    whole_ += bytes;
    if (static_cast<int64_t>(whole_.size()) <= kWholeAnswerBytesMax) return {};
    return Error{Code::kCorrupt, fmt::format("reading the server's answer: it has more than {} bytes, the most that is "
                                             "read; ask for less at once",
                                             kWholeAnswerBytesMax)};
  }
  NARU_ASSIGN(const std::vector<std::string> events, events_.push(bytes));
  for (const std::string& data : events) NARU_TRY(take(data));
  return {};
}

Status ServerAnswer::take(std::string_view json) {
  if (json == "[DONE]") return {};
  NARU_ASSIGN(const Parsed event, formats::parse_json(as_bytes(json), "the server's answer"));
  if (const auto error = event.find("error"); error != event.end() && !error->is_null()) {
    const Said said = said_in(json);
    return Error{code_of(0, said.code),
                 fmt::format("reading the server's answer: it ended with an error: {}; ask again",
                             formats::printable(said.message, kShownMessageBytes))};
  }
  if (const auto usage = event.find("usage"); usage != event.end()) take_usage(*usage);
  if (std::string name = text_at(event, "model"); !name.empty()) model_ = std::move(name);
  const auto choices = event.find("choices");
  if (choices == event.end() || !choices->is_array()) return {};
  for (const Parsed& choice : *choices) NARU_TRY(take_choice(choice));
  return {};
}

Status ServerAnswer::take_choice(const Parsed& choice) {
  if (!choice.is_object() || count_at(choice, "index") != 0) return {};
  // A piece of a stream, a whole message, or the text of a completion.
  const char* name = choice.contains("delta") ? "delta" : "message";
  const Parsed message = choice.contains(name) ? choice[name] : Parsed();
  engine::TextDelta delta;
  delta.reasoning = text_at(message, "reasoning_content");
  if (delta.reasoning.empty()) delta.reasoning = text_at(message, "reasoning");
  delta.content = text_at(message, "content") + text_at(choice, "text");
  if (!delta.empty()) NARU_TRY(take_text(std::move(delta)));
  const std::string reason = text_at(choice, "finish_reason");
  if (reason.empty()) return {};
  has_ended_ = true;
  answer_.reason = reason == "length" ? engine::FinishReason::kLength : engine::FinishReason::kStop;
  if (reason != "length" && reason != "stop") {
    print_note(fmt::format("the server ended the answer: {}", formats::printable(reason, 60)));
  }
  return {};
}

Status ServerAnswer::take_text(engine::TextDelta delta) {
  last_ = Clock::now();
  if (!has_text_) first_ = last_;
  has_text_ = true;
  answer_.text += delta.content;
  answer_.reasoning += delta.reasoning;
  return view_.on_text(delta);
}

void ServerAnswer::take_usage(const Parsed& usage) {
  if (!usage.is_object()) return;
  answer_.usage.prompt_tokens = count_at(usage, "prompt_tokens");
  answer_.usage.completion_tokens = count_at(usage, "completion_tokens");
  const auto details = usage.find("prompt_tokens_details");
  answer_.usage.cached_tokens = details != usage.end() ? count_at(*details, "cached_tokens") : 0;
}

engine::Answer ServerAnswer::with_times() {
  const auto ms = [](Clock::duration d) { return std::chrono::duration<double, std::milli>(d).count(); };
  engine::Timings& t = answer_.timings;
  t.prefill_ms = ms((has_text_ ? first_ : Clock::now()) - begin_);
  t.decode_ms = has_text_ ? ms(last_ - first_) : 0;
  t.prefilled = std::max<int64_t>(0, answer_.usage.prompt_tokens - answer_.usage.cached_tokens);
  t.decoded = std::max<int64_t>(0, answer_.usage.completion_tokens - 1);
  return std::move(answer_);
}

Result<engine::Answer> ServerAnswer::finish(const std::string& server) {
  if (form_ == Form::kWhole) NARU_TRY(take(whole_));
  if (has_ended_) return with_times();
  return Error{
      Code::kUnavailable,
      fmt::format("asking {}: its answer ended before it was whole; check the address and the server's log, or "
                  "ask again",
                  server)};
}

engine::Answer ServerAnswer::stopped() {
  answer_.reason = engine::FinishReason::kAborted;
  return with_times();
}

}  // namespace naru::cli
