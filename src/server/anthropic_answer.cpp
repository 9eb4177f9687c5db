#include "server/anthropic_answer.h"

#include <fmt/format.h>

#include "server/json_bytes.h"

namespace naru::server {
namespace {

// What Anthropic calls a refusal. 503 keeps its status and has the type of Anthropic's own 529, which no standard
// knows: clients try again after either.
std::string_view anthropic_error_type(int status) {
  switch (status) {
    case 401: return "authentication_error";
    case 403: return "permission_error";
    case 404: return "not_found_error";
    case 413: return "request_too_large";
    case 429: return "rate_limit_error";
    case 503:
    case 529: return "overloaded_error";
    case 504: return "timeout_error";
    default: return status >= 500 ? "api_error" : "invalid_request_error";
  }
}

std::string named_event(std::string_view name, std::string_view json) {
  return fmt::format("event: {}\ndata: {}\n\n", name, json);
}

Json anthropic_usage(const AnswerUsage& usage) {
  return {{"input_tokens", usage.prompt_tokens - usage.cached_tokens},
          {"cache_creation_input_tokens", 0},
          {"cache_read_input_tokens", usage.cached_tokens},
          {"output_tokens", usage.completion_tokens},
          {"output_tokens_details", {{"thinking_tokens", usage.reasoning_tokens}}}};
}

// What a model wrote as a call's input, where it is a JSON object; an answer that was cut off may have less.
bool is_json_object(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t\r\n");
  return first != std::string_view::npos && text[first] == '{' && Json::accept(text);
}

class AnthropicWriter final : public AnswerWriter {
 public:
  AnthropicWriter(AnswerIdentity identity, bool is_streamed)
      : identity_(std::move(identity)), is_streamed_(is_streamed) {}

  std::string_view content_type() const override {
    return is_streamed_ ? "text/event-stream; charset=utf-8" : "application/json";
  }
  std::string_view ping() const override { return is_streamed_ ? "event: ping\ndata: {\"type\":\"ping\"}\n\n" : ""; }
  std::string take(const AnswerEvent& event) override;

 private:
  enum class Kind : uint8_t { kNone, kThinking, kText, kToolUse };
  struct Block {
    Kind kind = Kind::kNone;
    std::string text;  // of a whole answer: what it says, or its input
    std::string id;
    std::string name;
  };

  void begin(int64_t prompt_tokens);
  void take_text(const AnswerEvent& event);
  void take_call(const ToolCallPiece& piece);
  void open(Kind kind, const std::string& id = "", const std::string& name = "");
  void add(std::string_view text);
  void close();
  void finish(const AnswerUsage& usage);
  void tell(std::string_view name, const Json& json) { bytes_ += named_event(name, json_bytes(json)); }
  Json message() const;
  Json stop_reason() const;
  std::string whole_block(const Block& block) const;

  AnswerIdentity identity_;
  bool is_streamed_;
  bool has_begun_ = false;
  std::string bytes_;          // of the event that is being taken
  std::vector<Block> blocks_;  // of a stream: the one that is open, and nothing of its text
  Kind open_ = Kind::kNone;
  int64_t open_call_ = -1;  // its index
  int64_t n_blocks_ = 0;
  EndReason reason_ = EndReason::kStop;
  std::string stop_;
};

std::string AnthropicWriter::take(const AnswerEvent& event) {
  switch (event.kind) {
    case AnswerEvent::Kind::kBegin: break;
    case AnswerEvent::Kind::kPrefill: begin(event.prompt_tokens); break;
    case AnswerEvent::Kind::kText: take_text(event); break;
    case AnswerEvent::Kind::kEnd:
      reason_ = event.reason;
      stop_ = event.stop;
      break;
    case AnswerEvent::Kind::kDone: finish(event.usage); break;
    case AnswerEvent::Kind::kError:
      if (is_streamed_) bytes_ += named_event("error", anthropic_error(event.error));
      break;
  }
  return std::exchange(bytes_, {});
}

Json AnthropicWriter::message() const {
  return {{"id", identity_.id}, {"type", "message"}, {"role", "assistant"}, {"model", identity_.model}};
}

void AnthropicWriter::begin(int64_t prompt_tokens) {
  if (std::exchange(has_begun_, true) || !is_streamed_) return;
  Json start = message();
  start["content"] = Json::array();
  start["stop_reason"] = nullptr;
  start["stop_sequence"] = nullptr;
  start["usage"] = anthropic_usage({.prompt_tokens = prompt_tokens});
  tell("message_start", {{"type", "message_start"}, {"message", std::move(start)}});
}

void AnthropicWriter::take_text(const AnswerEvent& event) {
  begin(event.prompt_tokens);
  if (!event.reasoning.empty()) {
    if (open_ != Kind::kThinking) open(Kind::kThinking);
    add(event.reasoning);
  }
  if (!event.content.empty()) {
    if (open_ != Kind::kText) open(Kind::kText);
    add(event.content);
  }
  for (const ToolCallPiece& piece : event.calls) take_call(piece);
}

void AnthropicWriter::take_call(const ToolCallPiece& piece) {
  if (open_ != Kind::kToolUse || open_call_ != piece.index) {
    open(Kind::kToolUse, piece.id, piece.name);
    open_call_ = piece.index;
  }
  if (!piece.arguments.empty()) add(piece.arguments);
}

void AnthropicWriter::open(Kind kind, const std::string& id, const std::string& name) {
  close();
  open_ = kind;
  ++n_blocks_;
  if (!is_streamed_) {
    blocks_.push_back({kind, "", id, name});
    return;
  }
  Json block = {{"type", "text"}, {"text", ""}};
  if (kind == Kind::kThinking) block = {{"type", "thinking"}, {"thinking", ""}, {"signature", ""}};
  if (kind == Kind::kToolUse) {
    block = {{"type", "tool_use"}, {"id", id}, {"name", name}, {"input", Json::object()}};
  }
  tell("content_block_start",
       {{"type", "content_block_start"}, {"index", n_blocks_ - 1}, {"content_block", std::move(block)}});
}

void AnthropicWriter::add(std::string_view text) {
  if (!is_streamed_) {
    blocks_.back().text += text;
    return;
  }
  Json delta = {{"type", "text_delta"}, {"text", text}};
  if (open_ == Kind::kThinking) delta = {{"type", "thinking_delta"}, {"thinking", text}};
  if (open_ == Kind::kToolUse) delta = {{"type", "input_json_delta"}, {"partial_json", text}};
  tell("content_block_delta", {{"type", "content_block_delta"}, {"index", n_blocks_ - 1}, {"delta", std::move(delta)}});
}

void AnthropicWriter::close() {
  const Kind kind = std::exchange(open_, Kind::kNone);
  if (kind == Kind::kNone || !is_streamed_) return;
  if (kind == Kind::kThinking) {
    tell("content_block_delta", {{"type", "content_block_delta"},
                                 {"index", n_blocks_ - 1},
                                 {"delta", {{"type", "signature_delta"}, {"signature", kNoSignature}}}});
  }
  tell("content_block_stop", {{"type", "content_block_stop"}, {"index", n_blocks_ - 1}});
}

Json AnthropicWriter::stop_reason() const {
  if (reason_ == EndReason::kLength) return "max_tokens";
  if (reason_ == EndReason::kToolCalls) return "tool_use";
  return stop_.empty() ? "end_turn" : "stop_sequence";
}

std::string AnthropicWriter::whole_block(const Block& block) const {
  if (block.kind == Kind::kThinking) {
    return json_bytes({{"type", "thinking"}, {"thinking", block.text}, {"signature", kNoSignature}});
  }
  if (block.kind == Kind::kText) return json_bytes({{"type", "text"}, {"text", block.text}});
  const std::string input = block.text.empty() ? "{}" : block.text;
  if (!is_json_object(input)) return {};  // cut off: nobody can run it
  return json_with({{"type", "tool_use"}, {"id", block.id}, {"name", block.name}}, "input", input);
}

void AnthropicWriter::finish(const AnswerUsage& usage) {
  begin(usage.prompt_tokens);
  close();
  const Json sequence = stop_.empty() || reason_ != EndReason::kStop ? Json(nullptr) : Json(stop_);
  if (is_streamed_) {
    tell("message_delta", {{"type", "message_delta"},
                           {"delta", {{"stop_reason", stop_reason()}, {"stop_sequence", sequence}}},
                           {"usage", anthropic_usage(usage)}});
    tell("message_stop", {{"type", "message_stop"}});
    return;
  }
  std::string content;
  for (const Block& block : blocks_) {
    const std::string json = whole_block(block);
    if (!json.empty()) content += (content.empty() ? "" : ",") + json;
  }
  Json json = message();
  json["stop_reason"] = stop_reason();
  json["stop_sequence"] = sequence;
  json["usage"] = anthropic_usage(usage);
  bytes_ = json_with(json, "content", fmt::format("[{}]", content));
}

}  // namespace

std::unique_ptr<AnswerWriter> make_anthropic_writer(AnswerIdentity identity, const AnswerRequest& request) {
  return std::make_unique<AnthropicWriter>(std::move(identity), request.is_streamed);
}

std::string anthropic_error(const Refusal& refusal) {
  return json_bytes(
      {{"type", "error"}, {"error", {{"type", anthropic_error_type(refusal.status)}, {"message", refusal.message}}}});
}

}  // namespace naru::server
