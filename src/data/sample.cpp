#include "data/sample.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <optional>

#include "data/limits.h"
#include "formats/utf8.h"

namespace naru::data {
namespace {

using text::Value;

constexpr std::array<std::string_view, 5> kRoles = {"system", "user", "assistant", "tool", "developer"};

const char* kind_of(const Value& value) {
  if (value.is_null()) return "null";
  if (value.as_bool()) return "a truth value";
  if (value.as_int() || value.as_double() || value.as_wide()) return "a number";
  if (value.as_string()) return "a string";
  return value.as_list() ? "an array" : "an object";
}

Error wrong(std::string_view place, std::string_view key, std::string_view found, std::string_view wanted,
            std::string_view next) {
  return {Code::kInvalidArgument,
          fmt::format("reading {}: {} is {}, {} was wanted; {}", place, key, found, wanted, next)};
}

// Other programs' words for the two who speak.
std::string_view advice_for_role(std::string_view role) {
  std::string lower(role);
  std::transform(lower.begin(), lower.end(), lower.begin(), [](unsigned char c) { return std::tolower(c); });
  for (const std::string_view word : {"gpt", "model", "bot", "ai", "chatbot", "assistent", "asistant", "assistant"}) {
    if (lower == word) return "write assistant";
  }
  for (const std::string_view word : {"human", "user", "prompter"}) {
    if (lower == word) return "write user";
  }
  return "correct it";
}

// What a line of another program's format has, and what it is here; empty where nobody knows the keys.
std::string_view advice_for_keys(const Value& root) {
  if (root.find("conversations") || root.find("conversation")) {
    return "call the list \"messages\", of {\"role\": \"user\" or \"assistant\", \"content\": \"...\"}";
  }
  for (const std::string_view key : {"prompt", "instruction", "question", "input", "chosen"}) {
    if (root.find(key)) {
      return "write question and answer as \"messages\": [{\"role\": \"user\", \"content\": ...}, {\"role\": "
             "\"assistant\", \"content\": ...}]";
    }
  }
  return "name the key of your text \"text\"";
}

// 0 leaves an answer out of what is learnt, 1 is as if there were none; shares in between are not done.
Status check_weight(const Value& message, const std::string& name, std::string_view place) {
  const Value* weight = message.find("weight");
  if (!weight || weight->is_null()) return {};
  std::optional<double> number;
  if (weight->as_int()) number = static_cast<double>(*weight->as_int());
  if (weight->as_double()) number = *weight->as_double();
  if (number == 0.0 || number == 1.0) return {};
  return wrong(place, name + ".weight", number ? fmt::format("{}", *number) : kind_of(*weight), "0 or 1",
               "write 0 for an answer that is not to be learnt, or take it out");
}

Status check_message(const Value& message, size_t i, std::string_view place) {
  const std::string name = fmt::format("messages[{}]", i);
  if (!message.as_object()) {
    return wrong(place, name, kind_of(message), "an object", "write {\"role\": \"user\", \"content\": \"...\"}");
  }
  const Value* role = message.find("role");
  if (!role && message.find("from")) {
    return wrong(place, name, "an object with \"from\"", "one with \"role\" and \"content\"",
                 "rename from to role and value to content, human to user and gpt to assistant");
  }
  if (!role) return wrong(place, name + ".role", "missing", "a string", "say who speaks: system, user or assistant");
  if (!role->as_string()) {
    return wrong(place, name + ".role", kind_of(*role), "a string", "say who speaks: system, user or assistant");
  }
  if (std::find(kRoles.begin(), kRoles.end(), *role->as_string()) == kRoles.end()) {
    return wrong(place, name + ".role", fmt::format("'{}'", formats::printable(*role->as_string())),
                 "system, user, assistant, tool or developer", advice_for_role(*role->as_string()));
  }
  NARU_TRY(check_weight(message, name, place));
  const Value* content = message.find("content");
  const Value* calls = message.find("tool_calls");
  if (calls && !calls->is_null() && !calls->as_list()) {
    return wrong(place, name + ".tool_calls", kind_of(*calls), "an array of calls", "correct it, or take it out");
  }
  // An assistant that calls a tool may say nothing.
  const bool has_calls = *role->as_string() == "assistant" && calls && !calls->is_null() && !calls->as_list()->empty();
  if (has_calls && (!content || content->is_null())) return {};
  if (!content) return wrong(place, name + ".content", "missing", "a string", "write what is said");
  if (!content->as_string())
    return wrong(place, name + ".content", kind_of(*content), "a string", "write what is said");
  return {};
}

Result<Sample> chat_sample(const Value& root, Value::List messages, std::string_view place) {
  if (messages.empty()) return wrong(place, "messages", "empty", "one message at least", "take the line out");
  if (static_cast<int64_t>(messages.size()) > kDataMessagesMax) {
    return Error{Code::kResourceExhausted,
                 fmt::format("reading {}: the conversation has {} messages, at most {} are taken; cut it into several",
                             place, messages.size(), kDataMessagesMax)};
  }
  for (size_t i = 0; i < messages.size(); ++i) NARU_TRY(check_message(messages[i], i, place));
  Sample sample;
  sample.is_chat = true;
  sample.messages = std::move(messages);
  if (const Value* tools = root.find("tools"); tools && !tools->is_null()) {
    if (!tools->as_list()) {
      return wrong(place, "tools", kind_of(*tools), "an array of JSON schemas", "correct it, or take it out");
    }
    sample.tools = *tools;
  }
  return sample;
}

}  // namespace

Result<Sample> parse_sample(std::string_view line, std::string_view place) {
  NARU_ASSIGN(Value root, text::parse_value(line, place));
  if (!root.as_object()) {
    return wrong(place, "the line", kind_of(root), "an object",
                 "write {\"text\": \"...\"} or {\"messages\": [...]} on every line");
  }
  const Value* messages = root.find("messages");
  const Value* text = root.find("text");
  if (messages && text) {
    return wrong(place, "the line", "an object with both \"text\" and \"messages\"", "one of them", "take one out");
  }
  if (messages) {
    if (!messages->as_list()) {
      return wrong(place, "messages", kind_of(*messages), "an array", "write [{\"role\": ..., \"content\": ...}, ...]");
    }
    return chat_sample(root, *messages->as_list(), place);
  }
  if (!text) {
    return wrong(place, "the line", "an object without \"text\" and \"messages\"", "one of them",
                 advice_for_keys(root));
  }
  if (!text->as_string()) return wrong(place, "text", kind_of(*text), "a string", "write the text in quotes");
  Sample sample;
  sample.text = *text->as_string();
  return sample;
}

Sample make_exchange(std::string question, std::string answer) {
  Sample sample;
  sample.is_chat = true;
  sample.messages.emplace_back(Value::Object{{"role", "user"}, {"content", std::move(question)}});
  sample.messages.emplace_back(Value::Object{{"role", "assistant"}, {"content", std::move(answer)}});
  return sample;
}

}  // namespace naru::data
