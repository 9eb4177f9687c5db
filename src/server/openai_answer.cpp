#include "server/openai_answer.h"

#include <fmt/format.h>

#include "server/json_bytes.h"
#include "text/utf8.h"

namespace naru::server {
namespace {

std::string_view error_type(int status) {
  if (status == 401 || status == 403) return "authentication_error";
  if (status == 429) return "rate_limit_error";
  return status >= 500 ? "server_error" : "invalid_request_error";
}

std::string_view reason_word(EndReason reason) {
  if (reason == EndReason::kToolCalls) return "tool_calls";
  return reason == EndReason::kStop ? "stop" : "length";
}

// A token's bytes as the completions API names tokens: as they are where they are text, else as OpenAI writes bytes.
std::string token_name(const std::string& bytes) {
  if (text::is_valid_utf8(bytes)) return bytes;
  std::string name = "bytes:";
  for (const char c : bytes) name += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
  return name;
}

// A call as messages have it; in a stream it says which of the answer's it is, and its further pieces have no id.
Json call_of(const ToolCallPiece& piece, bool is_streamed) {
  Json call = Json::object();
  if (is_streamed) call["index"] = piece.index;
  if (!piece.id.empty()) {
    call["id"] = piece.id;
    call["type"] = "function";
  }
  Json function = Json::object();
  if (!piece.name.empty()) function["name"] = piece.name;
  function["arguments"] = piece.arguments;
  call["function"] = std::move(function);
  return call;
}

void append(std::string& list, const Json& element) {
  if (!list.empty()) list += ',';
  list += json_bytes(element);
}

// The probabilities of one choice, kept as the bytes they become: as trees, those of a long answer would be large.
class LogProbsText {
 public:
  explicit LogProbsText(bool is_chat) : is_chat_(is_chat) {}

  void add(const AnswerToken& token) {
    if (is_chat_) {
      Json one = token_json(token.bytes, token.logprob);
      one["top_logprobs"] = Json::array();
      for (const auto& other : token.top) one["top_logprobs"].push_back(token_json(other.bytes, other.logprob));
      append(token.is_reasoning ? reasoning_ : tokens_, one);
      return;
    }
    append(tokens_, token_name(token.bytes));
    append(values_, json_number(token.logprob));
    Json top = Json::object();
    for (const auto& other : token.top) top[token_name(other.bytes)] = json_number(other.logprob);
    append(top_, top);
    append(offsets_, n_characters_);
    n_characters_ += text::count_code_points(text::repair_utf8(token.bytes));
  }

  // All that was added since the last call.
  std::string take() {
    std::string text;
    if (is_chat_) {
      text = fmt::format(R"({{"content":[{}],"refusal":null)", tokens_);
      if (!reasoning_.empty()) text += fmt::format(R"(,"reasoning_content":[{}])", reasoning_);
    } else {
      text = fmt::format(R"({{"tokens":[{}],"token_logprobs":[{}],"top_logprobs":[{}],"text_offset":[{}])", tokens_,
                         values_, top_, offsets_);
    }
    for (std::string* list : {&tokens_, &reasoning_, &values_, &top_, &offsets_}) list->clear();
    return text + "}";
  }

 private:
  bool is_chat_;
  std::string tokens_, reasoning_, values_, top_, offsets_;
  int64_t n_characters_ = 0;  // of the answer, before the next token
};

// Adds a piece to the call it is of.
void add_call_piece(std::vector<ToolCallPiece>& calls, const ToolCallPiece& piece) {
  if (calls.empty() || calls.back().index != piece.index) {
    calls.push_back(piece);
  } else {
    calls.back().arguments += piece.arguments;
  }
}

std::string server_sent(std::string_view json) {
  return fmt::format("data: {}\n\n", json);
}

class OpenAiWriter final : public AnswerWriter {
 public:
  OpenAiWriter(AnswerIdentity identity, const AnswerRequest& request)
      : identity_(std::move(identity)),
        is_chat_(request.is_chat),
        is_streamed_(request.is_streamed),
        wants_usage_(request.wants_usage),
        wants_logprobs_(request.top_logprobs.has_value()),
        choices_(static_cast<size_t>(request.n_choices()), Choice(request.is_chat)) {}

  std::string_view content_type() const override {
    return is_streamed_ ? "text/event-stream; charset=utf-8" : "application/json";
  }
  std::string_view ping() const override { return is_streamed_ ? ": keep-alive\n\n" : ""; }

  std::string take(const AnswerEvent& event) override { return is_streamed_ ? stream(event) : keep(event); }

 private:
  struct Choice {
    explicit Choice(bool is_chat) : logprobs(is_chat) {}
    std::string content;
    std::string reasoning;
    std::vector<ToolCallPiece> calls;
    LogProbsText logprobs;
    EndReason reason = EndReason::kStop;
  };
  Choice& choice_of(const AnswerEvent& event) {
    NARU_CHECK(event.choice >= 0 && static_cast<size_t>(event.choice) < choices_.size(), event.choice, choices_.size());
    return choices_[static_cast<size_t>(event.choice)];
  }

  Json head(std::string_view object) const {
    return {{"id", identity_.id},
            {"object", object},
            {"created", identity_.created},
            {"model", identity_.model},
            {"system_fingerprint", identity_.fingerprint}};
  }

  // ---- in pieces
  std::string stream(const AnswerEvent& event);
  // `text`: {"delta": ...} or {"text": ...}
  std::string chunk(int64_t index, Json text, std::string_view logprobs, Json finish_reason) const;
  std::string text_chunks(const AnswerEvent& event);
  std::string done_chunks(const AnswerUsage& usage) const;

  // ---- whole
  std::string keep(const AnswerEvent& event);
  std::string whole_choice(size_t index);

  AnswerIdentity identity_;
  bool is_chat_;
  bool is_streamed_;
  bool wants_usage_;
  bool wants_logprobs_;
  std::vector<Choice> choices_;
};

std::string OpenAiWriter::chunk(int64_t index, Json text, std::string_view logprobs, Json finish_reason) const {
  Json choice = {{"index", index}};
  choice.update(text);
  choice["finish_reason"] = std::move(finish_reason);
  Json json = head(is_chat_ ? "chat.completion.chunk" : "text_completion");
  if (wants_usage_) json["usage"] = nullptr;
  return server_sent(json_with(json, "choices", fmt::format("[{}]", json_with(choice, "logprobs", logprobs))));
}

std::string OpenAiWriter::text_chunks(const AnswerEvent& event) {
  LogProbsText& logprobs = choice_of(event).logprobs;
  std::string bytes;
  // Reasoning comes before content, also where one step brings both.
  for (const bool is_reasoning : {true, false}) {
    bool has_tokens = false;
    for (const AnswerToken& token : event.tokens) {
      if (!wants_logprobs_ || token.is_reasoning != is_reasoning) continue;
      logprobs.add(token);
      has_tokens = true;
    }
    const std::string& text = is_reasoning ? event.reasoning : event.content;
    // An empty content says that the answer goes on behind its reasoning, wherever it is cut.
    const bool is_sign = is_chat_ && event.ends_reasoning && !is_reasoning;
    if (text.empty() && !has_tokens && !is_sign) continue;
    Json piece = {{"text", text}};
    if (is_chat_) piece = {{"delta", {{is_reasoning ? "reasoning_content" : "content", text}}}};
    bytes += chunk(event.choice, std::move(piece), has_tokens ? logprobs.take() : "null", nullptr);
  }
  for (const ToolCallPiece& call : event.calls) {
    Json calls = Json::array();
    calls.push_back(call_of(call, true));
    bytes += chunk(event.choice, {{"delta", {{"tool_calls", std::move(calls)}}}}, "null", nullptr);
  }
  return bytes;
}

std::string OpenAiWriter::done_chunks(const AnswerUsage& usage) const {
  std::string bytes;
  if (wants_usage_) {
    Json json = head(is_chat_ ? "chat.completion.chunk" : "text_completion");
    json["choices"] = Json::array();
    json["usage"] = openai_usage(usage);
    bytes = server_sent(json_bytes(json));
  }
  return bytes + server_sent("[DONE]");
}

std::string OpenAiWriter::stream(const AnswerEvent& event) {
  std::string bytes;
  switch (event.kind) {
    case AnswerEvent::Kind::kBegin:
      for (size_t i = 0; is_chat_ && i < choices_.size(); ++i) {
        bytes += chunk(static_cast<int64_t>(i), {{"delta", {{"role", "assistant"}, {"content", ""}}}}, "null", nullptr);
      }
      return bytes;
    case AnswerEvent::Kind::kPrefill: return bytes;
    case AnswerEvent::Kind::kText: return text_chunks(event);
    case AnswerEvent::Kind::kEnd: {
      Json nothing = {{"text", ""}};
      if (is_chat_) nothing = {{"delta", Json::object()}};
      return chunk(event.choice, std::move(nothing), "null", reason_word(event.reason));
    }
    case AnswerEvent::Kind::kDone: return done_chunks(event.usage);
    case AnswerEvent::Kind::kError: return server_sent(openai_error(event.error));
  }
  return bytes;
}

std::string OpenAiWriter::whole_choice(size_t index) {
  Choice& choice = choices_[index];
  Json json = {{"index", index}};
  if (is_chat_) {
    Json message = {{"role", "assistant"}, {"content", choice.content}};
    if (!choice.calls.empty() && choice.content.empty()) message["content"] = nullptr;
    if (!choice.reasoning.empty()) message["reasoning_content"] = choice.reasoning;
    message["refusal"] = nullptr;
    for (const ToolCallPiece& call : choice.calls) message["tool_calls"].push_back(call_of(call, false));
    json["message"] = std::move(message);
  } else {
    json["text"] = choice.reasoning + choice.content;
  }
  json["finish_reason"] = reason_word(choice.reason);
  return json_with(json, "logprobs", wants_logprobs_ ? choice.logprobs.take() : "null");
}

std::string OpenAiWriter::keep(const AnswerEvent& event) {
  if (event.kind == AnswerEvent::Kind::kText) {
    Choice& choice = choice_of(event);
    choice.content += event.content;
    choice.reasoning += event.reasoning;
    for (const ToolCallPiece& piece : event.calls) add_call_piece(choice.calls, piece);
    for (const AnswerToken& token : event.tokens) {
      if (wants_logprobs_) choice.logprobs.add(token);
    }
  }
  if (event.kind == AnswerEvent::Kind::kEnd) choice_of(event).reason = event.reason;
  if (event.kind != AnswerEvent::Kind::kDone) return "";
  std::string choices;
  for (size_t i = 0; i < choices_.size(); ++i) choices += (i > 0 ? "," : "") + whole_choice(i);
  Json json = head(is_chat_ ? "chat.completion" : "text_completion");
  json["usage"] = openai_usage(event.usage);
  return json_with(json, "choices", fmt::format("[{}]", choices));
}

}  // namespace

Json openai_usage(const AnswerUsage& usage) {
  Json details = {{"cached_tokens", usage.cached_tokens}};
  if (usage.replayed_tokens > 0) details["replayed_tokens"] = usage.replayed_tokens;
  return {{"prompt_tokens", usage.prompt_tokens},
          {"completion_tokens", usage.completion_tokens},
          {"total_tokens", usage.prompt_tokens + usage.completion_tokens},
          {"prompt_tokens_details", std::move(details)},
          {"completion_tokens_details", {{"reasoning_tokens", usage.reasoning_tokens}}},
          {"prompt_cache_hit_tokens", usage.cached_tokens},
          {"prompt_cache_miss_tokens", usage.prompt_tokens - usage.cached_tokens}};
}

std::unique_ptr<AnswerWriter> make_openai_writer(AnswerIdentity identity, const AnswerRequest& request) {
  return std::make_unique<OpenAiWriter>(std::move(identity), request);
}

std::string openai_error(const Refusal& refusal) {
  const auto word = [](const std::string& text) { return text.empty() ? Json(nullptr) : Json(text); };
  const Json json = {{"error",
                      {{"message", refusal.message},
                       {"type", error_type(refusal.status)},
                       {"param", word(refusal.param)},
                       {"code", word(refusal.code)}}}};
  return json_bytes(json);
}

}  // namespace naru::server
