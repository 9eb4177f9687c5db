#include "server/responses_answer.h"

#include <fmt/format.h>

#include "server/json_bytes.h"
#include "server/responses_items.h"

namespace naru::server {
namespace {

Json response_usage(const AnswerUsage& usage) {
  Json details = {{"cached_tokens", usage.cached_tokens}, {"cache_write_tokens", 0}};
  if (usage.replayed_tokens > 0) details["replayed_tokens"] = usage.replayed_tokens;
  return {{"input_tokens", usage.prompt_tokens},
          {"input_tokens_details", std::move(details)},
          {"output_tokens", usage.completion_tokens},
          {"output_tokens_details", {{"reasoning_tokens", usage.reasoning_tokens}}},
          {"total_tokens", usage.prompt_tokens + usage.completion_tokens}};
}

Json number_or_null(const std::optional<double>& number) {
  return number ? Json(*number) : Json(nullptr);
}

class ResponsesWriter final : public AnswerWriter {
 public:
  ResponsesWriter(AnswerIdentity identity, const AnswerRequest& request)
      : identity_(std::move(identity)),
        echo_(request.echo),
        sampling_(request.sampling),
        is_streamed_(request.is_streamed),
        seals_reasoning_(request.seals_reasoning),
        wants_logprobs_(request.top_logprobs.has_value()) {}

  std::string_view content_type() const override {
    return is_streamed_ ? "text/event-stream; charset=utf-8" : "application/json";
  }
  std::string_view ping() const override { return is_streamed_ ? ": keep-alive\n\n" : ""; }
  std::string take(const AnswerEvent& event) override;

 private:
  enum class Kind : uint8_t { kReasoning, kMessage, kCall };
  struct Item {
    Kind kind = Kind::kMessage;
    std::string id;
    std::string text;     // what it says, or the call's arguments
    std::string call_id;  // of a call
    std::string name;
    std::string logprobs;  // of a message: elements of an array, JSON text
    std::string_view status = "in_progress";
    int64_t call = 0;  // its index
  };

  void take_text(const AnswerEvent& event);
  void take_tokens(const std::vector<AnswerToken>& tokens);
  // Makes an item of that kind the open one, if it is not.
  Item& open(Kind kind, const ToolCallPiece* piece = nullptr);
  void close(std::string_view status);
  void add(Item& item, std::string_view text);

  // As far as it is said; `part` is its one content part.
  static Json item_head(const Item& item);
  std::string item_json(const Item& item, bool has_text) const;
  static std::string part_json(const Item& item, bool has_text);
  // `done`: null while it is made, and of one that failed.
  std::string response_json(std::string_view status, const AnswerEvent* done, const Refusal* error) const;

  // One event; `value` is JSON text, of the field `name`.
  void tell(std::string_view type, Json fields, std::string_view name = {}, std::string_view value = {});
  Json place_of_item() const { return {{"item_id", items_.back().id}, {"output_index", items_.size() - 1}}; }
  Json place_of_part() const {
    Json place = place_of_item();
    place["content_index"] = 0;
    return place;
  }

  AnswerIdentity identity_;
  std::string echo_;
  AskedSampling sampling_;
  bool is_streamed_;
  bool seals_reasoning_;
  bool wants_logprobs_;
  bool is_open_ = false;  // the last item
  std::vector<Item> items_;
  std::string waiting_logprobs_;  // of tokens that have made no text yet
  EndReason reason_ = EndReason::kStop;
  int64_t n_events_ = 0;
  std::string bytes_;  // of the event that is being taken
};

std::string ResponsesWriter::take(const AnswerEvent& event) {
  switch (event.kind) {
    case AnswerEvent::Kind::kBegin:
      tell("response.created", Json::object(), "response", response_json("in_progress", nullptr, nullptr));
      tell("response.in_progress", Json::object(), "response", response_json("in_progress", nullptr, nullptr));
      break;
    case AnswerEvent::Kind::kPrefill: break;
    case AnswerEvent::Kind::kText: take_text(event); break;
    case AnswerEvent::Kind::kEnd: reason_ = event.reason; break;
    case AnswerEvent::Kind::kDone: {
      const std::string_view status = reason_ == EndReason::kLength ? "incomplete" : "completed";
      close(status);
      const std::string response = response_json(status, &event, nullptr);
      if (is_streamed_) {
        tell(fmt::format("response.{}", status), Json::object(), "response", response);
      } else {
        bytes_ = response;
      }
      break;
    }
    case AnswerEvent::Kind::kError:
      tell("response.failed", Json::object(), "response", response_json("failed", nullptr, &event.error));
      break;
  }
  return std::exchange(bytes_, {});
}

void ResponsesWriter::tell(std::string_view type, Json fields, std::string_view name, std::string_view value) {
  if (!is_streamed_) return;
  Json event = {{"type", type}, {"sequence_number", n_events_++}};
  event.update(fields);
  const std::string json = name.empty() ? json_bytes(event) : json_with(event, name, value);
  bytes_ += fmt::format("event: {}\ndata: {}\n\n", type, json);
}

void ResponsesWriter::take_text(const AnswerEvent& event) {
  if (wants_logprobs_) take_tokens(event.tokens);
  if (!event.reasoning.empty()) add(open(Kind::kReasoning), event.reasoning);
  if (!event.content.empty()) add(open(Kind::kMessage), event.content);
  for (const ToolCallPiece& piece : event.calls) {
    Item& item = open(Kind::kCall, &piece);
    if (!piece.arguments.empty()) add(item, piece.arguments);
  }
}

void ResponsesWriter::take_tokens(const std::vector<AnswerToken>& tokens) {
  for (const AnswerToken& token : tokens) {
    if (token.is_reasoning) continue;
    Json one = token_json(token.bytes, token.logprob);
    one["top_logprobs"] = Json::array();
    for (const auto& other : token.top) one["top_logprobs"].push_back(token_json(other.bytes, other.logprob));
    waiting_logprobs_ += (waiting_logprobs_.empty() ? "" : ",") + json_bytes(one);
  }
}

ResponsesWriter::Item& ResponsesWriter::open(Kind kind, const ToolCallPiece* piece) {
  if (is_open_ && items_.back().kind == kind && (piece == nullptr || items_.back().call == piece->index)) {
    return items_.back();
  }
  close("completed");
  constexpr std::string_view kPrefixes[] = {"rs", "msg", "fc"};
  const std::string random = identity_.id.substr(identity_.id.find('_') + 1);
  Item item;
  item.kind = kind;
  item.id = fmt::format("{}_{}{}", kPrefixes[static_cast<size_t>(kind)], random, items_.size());
  if (piece != nullptr) {
    item.call_id = piece->id;
    item.name = piece->name;
    item.call = piece->index;
  }
  items_.push_back(std::move(item));
  is_open_ = true;
  tell("response.output_item.added", {{"output_index", items_.size() - 1}}, "item", item_json(items_.back(), false));
  if (kind != Kind::kCall) {
    tell("response.content_part.added", place_of_part(), "part", part_json(items_.back(), false));
  }
  return items_.back();
}

void ResponsesWriter::add(Item& item, std::string_view text) {
  item.text += text;
  if (item.kind == Kind::kCall) {
    Json fields = place_of_item();
    fields["delta"] = text;
    return tell("response.function_call_arguments.delta", std::move(fields));
  }
  Json fields = place_of_part();
  fields["delta"] = text;
  if (item.kind == Kind::kReasoning) return tell("response.reasoning_text.delta", std::move(fields));
  const std::string logprobs = std::exchange(waiting_logprobs_, {});
  if (!logprobs.empty()) item.logprobs += (item.logprobs.empty() ? "" : ",") + logprobs;
  tell("response.output_text.delta", std::move(fields), "logprobs", fmt::format("[{}]", logprobs));
}

void ResponsesWriter::close(std::string_view status) {
  if (!std::exchange(is_open_, false)) return;
  Item& item = items_.back();
  item.status = status;
  if (item.kind == Kind::kCall) {
    Json fields = place_of_item();
    fields["name"] = item.name;
    fields["arguments"] = item.text;
    tell("response.function_call_arguments.done", std::move(fields));
  } else {
    Json fields = place_of_part();
    fields["text"] = item.text;
    if (item.kind == Kind::kReasoning) {
      tell("response.reasoning_text.done", std::move(fields));
    } else {
      tell("response.output_text.done", std::move(fields), "logprobs", fmt::format("[{}]", item.logprobs));
    }
    tell("response.content_part.done", place_of_part(), "part", part_json(item, true));
  }
  tell("response.output_item.done", {{"output_index", items_.size() - 1}}, "item", item_json(item, true));
}

std::string ResponsesWriter::part_json(const Item& item, bool has_text) {
  const std::string text = has_text ? item.text : std::string();
  if (item.kind == Kind::kReasoning) return json_bytes({{"type", "reasoning_text"}, {"text", text}});
  return json_with({{"type", "output_text"}, {"text", text}, {"annotations", Json::array()}}, "logprobs",
                   fmt::format("[{}]", has_text ? item.logprobs : ""));
}

Json ResponsesWriter::item_head(const Item& item) {
  switch (item.kind) {
    case Kind::kReasoning: return {{"id", item.id}, {"type", "reasoning"}, {"status", item.status}};
    case Kind::kMessage: return {{"id", item.id}, {"type", "message"}, {"status", item.status}, {"role", "assistant"}};
    case Kind::kCall: break;
  }
  return {{"id", item.id},
          {"type", "function_call"},
          {"status", item.status},
          {"call_id", item.call_id},
          {"name", item.name}};
}

std::string ResponsesWriter::item_json(const Item& item, bool has_text) const {
  Json head = item_head(item);
  if (item.kind == Kind::kCall) {
    head["arguments"] = has_text ? item.text : "";
    return json_bytes(head);
  }
  if (item.kind == Kind::kReasoning) {
    head["summary"] = Json::array();
    head["encrypted_content"] = seals_reasoning_ && has_text ? Json(seal_reasoning(item.text)) : Json(nullptr);
  }
  return json_with(head, "content", has_text ? fmt::format("[{}]", part_json(item, true)) : "[]");
}

std::string ResponsesWriter::response_json(std::string_view status, const AnswerEvent* done,
                                           const Refusal* error) const {
  Json json = {{"id", identity_.id},
               {"object", "response"},
               {"created_at", identity_.created},
               {"status", status},
               {"model", identity_.model},
               {"system_fingerprint", identity_.fingerprint},
               {"background", false},
               {"previous_response_id", nullptr},
               {"store", false},
               {"service_tier", "default"},
               {"truncation", "disabled"},
               {"temperature", number_or_null(sampling_.temperature)},
               {"top_p", number_or_null(sampling_.top_p)},
               {"presence_penalty", number_or_null(sampling_.presence_penalty)},
               {"frequency_penalty", number_or_null(sampling_.frequency_penalty)},
               {"max_tool_calls", nullptr},
               {"safety_identifier", nullptr},
               {"prompt_cache_key", nullptr},
               {"completed_at", done != nullptr && status == "completed" ? Json(done->time) : Json(nullptr)},
               {"error", nullptr},
               {"incomplete_details", nullptr},
               {"usage", done != nullptr ? response_usage(done->usage) : Json(nullptr)}};
  if (status == "incomplete") json["incomplete_details"] = {{"reason", "max_output_tokens"}};
  if (error != nullptr) {
    json["error"] = {{"code", error->status == 429 ? "rate_limit_exceeded" : "server_error"},
                     {"message", error->message}};
  }
  std::string output;
  for (const Item& item : items_) output += (output.empty() ? "" : ",") + item_json(item, true);
  std::string text = json_with(json, "output", fmt::format("[{}]", output));
  if (echo_.empty()) return text;
  text.pop_back();
  return fmt::format("{},{}}}", text, echo_);
}

}  // namespace

std::unique_ptr<AnswerWriter> make_responses_writer(AnswerIdentity identity, const AnswerRequest& request) {
  return std::make_unique<ResponsesWriter>(std::move(identity), request);
}

}  // namespace naru::server
