#include "server/ollama_answer.h"

#include <fmt/format.h>

#include <algorithm>

#include "server/json_bytes.h"
#include "server/model_facts.h"
#include "server/time_text.h"

namespace naru::server {
namespace {

int64_t nanoseconds(double duration) {
  return static_cast<int64_t>(std::clamp(duration, 0.0, 1e9) * 1e9);
}

// A text that is a JSON object, on one line: line breaks stand between its parts alone. Anything else as a string, so
// that nothing of it is lost.
std::string ollama_arguments(const std::string& arguments) {
  const size_t first = arguments.find_first_not_of(" \t\r\n");
  if (first == std::string::npos) return "{}";
  if (arguments[first] != '{' || !Json::accept(arguments)) return json_bytes(arguments);
  std::string line = arguments;
  std::replace_if(
      line.begin(), line.end(), [](char c) { return c == '\n' || c == '\r'; }, ' ');
  return line;
}

// A call as its pieces have made it so far.
struct OllamaCall {
  std::string id, name, arguments;
};

std::string ollama_call(const OllamaCall& call, int64_t index) {
  return fmt::format(R"({{"id":{},"function":{{"index":{},"name":{},"arguments":{}}}}})", json_bytes(call.id), index,
                     json_bytes(call.name), ollama_arguments(call.arguments));
}

class OllamaWriter final : public AnswerWriter {
 public:
  OllamaWriter(AnswerIdentity identity, const AnswerRequest& request, bool is_chat)
      : model_(std::move(identity.model)),
        created_(ollama_time(identity.created)),
        is_chat_(is_chat),
        is_streamed_(request.is_streamed),
        wants_logprobs_(request.top_logprobs.has_value()) {}

  std::string_view content_type() const override { return is_streamed_ ? "application/x-ndjson" : "application/json"; }
  std::string_view ping() const override { return ""; }  // every line is a part of the answer
  std::string take(const AnswerEvent& event) override;

 private:
  // What one object says of the answer.
  struct Said {
    std::string content, thinking;
    std::string calls, logprobs;  // JSON, with commas between
  };

  void add(const AnswerEvent& event, Said& said);
  void add_calls(const std::vector<ToolCallPiece>& pieces, Said& said);
  void end_calls(Said& said);
  // `rest`: further fields, each with a comma before it.
  std::string object(const Said& said, bool is_done, std::string_view rest) const;
  std::string line(const Said& said) const { return object(said, false, "") + "\n"; }
  std::string text_lines(const AnswerEvent& event);
  std::string done_fields(const AnswerUsage& usage) const;

  std::string model_, created_;
  bool is_chat_, is_streamed_, wants_logprobs_;
  EndReason reason_ = EndReason::kStop;
  std::vector<OllamaCall> calls_;  // the last one may go on
  size_t n_calls_written_ = 0;
  Said whole_;
};

std::string OllamaWriter::object(const Said& said, bool is_done, std::string_view rest) const {
  std::string text = fmt::format(R"({{"model":{},"created_at":"{}")", json_bytes(model_), created_);
  if (is_chat_) text += R"(,"message":{"role":"assistant")";
  text += fmt::format(R"(,"{}":{})", is_chat_ ? "content" : "response", json_bytes(said.content));
  if (!said.thinking.empty()) text += fmt::format(R"(,"thinking":{})", json_bytes(said.thinking));
  if (!said.calls.empty()) text += fmt::format(R"(,"tool_calls":[{}])", said.calls);
  if (is_chat_) text += "}";
  text += fmt::format(R"(,"done":{})", is_done);
  if (!said.logprobs.empty()) text += fmt::format(R"(,"logprobs":[{}])", said.logprobs);
  return fmt::format("{}{}}}", text, rest);
}

void OllamaWriter::end_calls(Said& said) {
  for (; n_calls_written_ < calls_.size(); ++n_calls_written_) {
    if (!said.calls.empty()) said.calls += ',';
    said.calls += ollama_call(calls_[n_calls_written_], static_cast<int64_t>(n_calls_written_));
  }
}

// A call is written when it is whole: with the next one, or at the end.
void OllamaWriter::add_calls(const std::vector<ToolCallPiece>& pieces, Said& said) {
  for (const ToolCallPiece& piece : pieces) {
    if (static_cast<size_t>(piece.index) >= calls_.size()) {
      end_calls(said);
      calls_.emplace_back();
    }
    OllamaCall& call = calls_.back();
    call.id += piece.id;
    call.name += piece.name;
    call.arguments += piece.arguments;
  }
}

void OllamaWriter::add(const AnswerEvent& event, Said& said) {
  said.thinking += event.reasoning;
  said.content += event.content;
  add_calls(event.calls, said);
  if (!wants_logprobs_) return;
  for (const AnswerToken& token : event.tokens) {
    Json one = token_json(token.bytes, token.logprob);
    if (!token.top.empty()) one["top_logprobs"] = Json::array();
    for (const auto& other : token.top) one["top_logprobs"].push_back(token_json(other.bytes, other.logprob));
    if (!said.logprobs.empty()) said.logprobs += ',';
    said.logprobs += json_bytes(one);
  }
}

// Thinking stands in lines before those of the content, also where one step brings both.
std::string OllamaWriter::text_lines(const AnswerEvent& event) {
  Said said;
  add(event, said);
  std::string bytes;
  if (!said.thinking.empty() && (!said.content.empty() || !said.calls.empty())) {
    Said thinking;
    thinking.thinking = std::exchange(said.thinking, {});
    bytes += line(thinking);
  }
  const bool has_text = !said.thinking.empty() || !said.content.empty() || !said.calls.empty();
  if (has_text || !said.logprobs.empty()) bytes += line(said);
  return bytes;
}

std::string OllamaWriter::done_fields(const AnswerUsage& usage) const {
  // Clients divide by the last of them, also where the first token was the end.
  return fmt::format(
      R"(,"done_reason":"{}","total_duration":{},"load_duration":{},"prompt_eval_count":{},"prompt_eval_duration":{},)"
      R"("eval_count":{},"eval_duration":{})",
      reason_ == EndReason::kLength ? "length" : "stop",
      nanoseconds(usage.queue_seconds + usage.prefill_seconds + usage.decode_seconds), nanoseconds(usage.queue_seconds),
      usage.prompt_tokens, nanoseconds(usage.prefill_seconds), usage.completion_tokens,
      std::max<int64_t>(1, nanoseconds(usage.decode_seconds)));
}

std::string OllamaWriter::take(const AnswerEvent& event) {
  switch (event.kind) {
    case AnswerEvent::Kind::kBegin:
    case AnswerEvent::Kind::kPrefill: return "";
    case AnswerEvent::Kind::kText:
      if (is_streamed_) return text_lines(event);
      add(event, whole_);
      return "";
    case AnswerEvent::Kind::kEnd: {
      reason_ = event.reason;
      Said last;
      end_calls(is_streamed_ ? last : whole_);
      return last.calls.empty() ? "" : line(last);
    }
    case AnswerEvent::Kind::kDone: return object(whole_, true, done_fields(event.usage)) + (is_streamed_ ? "\n" : "");
    case AnswerEvent::Kind::kError: return ollama_error(event.error) + "\n";
  }
  return "";
}

}  // namespace

std::unique_ptr<AnswerWriter> make_ollama_chat_writer(AnswerIdentity identity, const AnswerRequest& request) {
  return std::make_unique<OllamaWriter>(std::move(identity), request, true);
}

std::unique_ptr<AnswerWriter> make_ollama_generate_writer(AnswerIdentity identity, const AnswerRequest& request) {
  return std::make_unique<OllamaWriter>(std::move(identity), request, false);
}

std::string ollama_error(const Refusal& refusal) {
  return json_bytes({{"error", refusal.message}});
}

std::string ollama_loaded(bool is_chat, const ModelFacts& model) {
  Json json = {{"model", model.name}, {"created_at", ollama_time(model.created)}};
  if (is_chat) {
    json["message"] = {{"role", "assistant"}, {"content", ""}};
  } else {
    json["response"] = "";
  }
  json["done"] = true;
  json["done_reason"] = "load";
  return json_bytes(json);
}

std::string ollama_time(int64_t unix_seconds) {
  return rfc3339(unix_seconds, 0, 9);
}

}  // namespace naru::server
