#include "data/foreign_forms.h"

#include <fmt/format.h>

#include <algorithm>

#include "data/line_form.h"
#include "formats/utf8.h"

namespace naru::data {
namespace {

using text::Value;

constexpr std::string_view kCallRole = "function_call";

// Whom other programs mean; "" where nobody knows.
std::string_view role_of(std::string_view from) {
  constexpr struct {
    std::string_view from, role;
  } kRoles[] = {{"human", "user"},
                {"user", "user"},
                {"gpt", "assistant"},
                {"assistant", "assistant"},
                {"chatgpt", "assistant"},
                {"model", "assistant"},
                {"bing", "assistant"},
                {"bard", "assistant"},
                {"system", "system"},
                {"developer", "developer"},
                {"tool", "tool"},
                {"observation", "tool"},
                {"function_response", "tool"},
                {kCallRole, "assistant"}};
  const auto* const found =
      std::find_if(std::begin(kRoles), std::end(kRoles), [&](const auto& r) { return r.from == from; });
  return found == std::end(kRoles) ? std::string_view() : found->role;
}

Result<std::string> string_of(const Value& object, std::string_view key, const std::string& name,
                              std::string_view place) {
  const Value* value = object.find(key);
  if (value && value->as_string()) return *value->as_string();
  return wrong_value(place, name, value ? kind_of(*value) : "missing", "a string", "write what is said in quotes");
}

// The same where the key may be absent or null: "" then.
Result<std::string> string_or_none(const Value& object, std::string_view key, const std::string& name,
                                   std::string_view place) {
  const Value* value = object.find(key);
  if (!value || value->is_null()) return std::string();
  return string_of(object, key, name, place);
}

// {"name": ..., "arguments": {...}}, or a list of them.
Result<Value> calls_of_text(const std::string& json, const std::string& name, std::string_view place) {
  const auto refuse = [&](std::string_view found) {
    return wrong_value(place, name, found, "{\"name\": ..., \"arguments\": {...}} or a list of them", "correct it");
  };
  const auto parsed = text::parse_value(json, "");
  if (!parsed.ok()) return refuse("no JSON");
  const Value::List calls = parsed->as_list() ? *parsed->as_list() : Value::List{*parsed};
  Value::List made;
  for (const Value& call : calls) {
    if (!call.as_object() || !call.find("name")) return refuse(call.as_object() ? "without a name" : kind_of(call));
    made.emplace_back(Value::Object{{"type", "function"}, {"function", call}});
  }
  if (made.empty()) return refuse("empty");
  return Value(std::move(made));
}

Result<Value> share_gpt_message(const Value& said, const std::string& name, std::string_view place) {
  if (!said.as_object()) {
    return wrong_value(place, name, kind_of(said), "an object", "write {\"from\": \"human\", \"value\": \"...\"}");
  }
  if (said.find("role") || said.find("content")) {
    return wrong_value(place, name, "an object with \"role\" or \"content\"", "\"from\" and \"value\", as in the first",
                       "write all of them in one way");
  }
  NARU_ASSIGN(const std::string from, string_of(said, "from", name + ".from", place));
  const std::string_view role = role_of(from);
  if (role.empty()) {
    return wrong_value(place, name + ".from", fmt::format("'{}'", formats::printable(from)),
                       "human, gpt, system, tool, observation or function_call", "correct it");
  }
  NARU_ASSIGN(const std::string value, string_of(said, "value", name + ".value", place));
  Value message = make_message(role, value);
  if (from == kCallRole) {
    NARU_ASSIGN(Value calls, calls_of_text(value, name + ".value", place));
    message.set("content", nullptr);
    message.set("tool_calls", std::move(calls));
  }
  for (const auto& [key, other] : *said.as_object()) {
    if (key != "from" && key != "value" && key != "tool_calls") message.set(key, other);
  }
  return message;
}

}  // namespace

Value make_message(std::string_view role, std::string_view content) {
  return Value(Value::Object{{"role", role}, {"content", content}});
}

Result<Value::List> share_gpt_messages(const Value::List& list, std::string_view name, std::string_view place) {
  Value::List messages;
  for (size_t i = 0; i < list.size(); ++i) {
    NARU_ASSIGN(Value message, share_gpt_message(list[i], fmt::format("{}[{}]", name, i), place));
    messages.push_back(std::move(message));
  }
  return messages;
}

Result<Value::List> alpaca_messages(const Value& root, std::string_view place) {
  NARU_ASSIGN(std::string asked, string_of(root, "instruction", "instruction", place));
  NARU_ASSIGN(const std::string input, string_or_none(root, "input", "input", place));
  NARU_ASSIGN(const std::string output, string_of(root, "output", "output", place));
  if (!input.empty()) asked += (asked.empty() ? "" : "\n") + input;
  if (asked.empty()) {
    return wrong_value(place, "instruction", "empty, and so is input", "some text", "take the line out, or fill it");
  }
  Value::List messages;
  if (const Value* history = root.find("history"); history && !history->is_null()) {
    const Value::List* pairs = history->as_list();
    const auto is_pair = [](const Value& pair) {
      const Value::List* two = pair.as_list();
      return two && two->size() == 2 && (*two)[0].as_string() && (*two)[1].as_string();
    };
    if (!pairs || !std::all_of(pairs->begin(), pairs->end(), is_pair)) {
      return wrong_value(place, "history", pairs ? "no list of pairs" : kind_of(*history),
                         "[[instruction, output], ...] of what was said before", "correct it, or take it out");
    }
    for (const Value& pair : *pairs) {
      messages.push_back(make_message("user", *(*pair.as_list())[0].as_string()));
      messages.push_back(make_message("assistant", *(*pair.as_list())[1].as_string()));
    }
  }
  messages.push_back(make_message("user", asked));
  messages.push_back(make_message("assistant", output));
  return messages;
}

Result<Value::List> prompt_messages(const Value& root, std::string_view place) {
  Value::List messages;
  for (const auto& [key, role] : {std::pair("prompt", "user"), std::pair("completion", "assistant")}) {
    const Value& said = *root.find(key);
    if (said.as_list()) {
      return wrong_value(place, key, "an array", "a string", "write both as one list, \"messages\"");
    }
    NARU_ASSIGN(const std::string text, string_of(root, key, key, place));
    messages.push_back(make_message(role, text));
  }
  return messages;
}

}  // namespace naru::data
