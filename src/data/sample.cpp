#include "data/sample.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <optional>

#include "data/foreign_forms.h"
#include "data/limits.h"
#include "formats/json_place.h"
#include "formats/utf8.h"

namespace naru::data {
namespace {

using text::Value;

constexpr std::array<std::string_view, 5> kRoles = {"system", "user", "assistant", "tool", "developer"};

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
  if (lower == "function") return "write tool";
  return "correct it";
}

// 0 leaves an answer out of what is learnt, 1 is as if there were none; shares in between are not done.
Status check_weight(const Value& message, const std::string& name, std::string_view place) {
  const Value* weight = message.find("weight");
  if (!weight || weight->is_null()) return {};
  std::optional<double> number;
  if (weight->as_int()) number = static_cast<double>(*weight->as_int());
  if (weight->as_double()) number = *weight->as_double();
  if (number == 0.0 || number == 1.0) return {};
  return wrong_value(place, name + ".weight", number ? fmt::format("{}", *number) : kind_of(*weight), "0 or 1",
                     "write 0 for an answer that is not to be learnt, or take it out");
}

// OpenAI's list of parts as the string that it is, where it is one text.
Status flatten_content(Value& message, const std::string& name, std::string_view place) {
  const Value* content = message.find("content");
  if (!content || !content->as_list()) return {};
  const Value::List& parts = *content->as_list();
  const Value* text = parts.size() == 1 ? parts[0].find("text") : nullptr;
  if (text && text->as_string()) {
    std::string said = *text->as_string();
    message.set("content", std::move(said));
    return {};
  }
  return wrong_value(place, name + ".content", fmt::format("an array of {} parts", parts.size()),
                     "a string, or one part {\"type\": \"text\", \"text\": ...}", "join the texts to one string");
}

Status check_calls(const Value& message, const std::string& name, std::string_view place) {
  const Value* calls = message.find("tool_calls");
  if (calls && !calls->is_null() && !calls->as_list()) {
    return wrong_value(place, name + ".tool_calls", kind_of(*calls), "an array of calls", "correct it, or take it out");
  }
  const Value* call = message.find("function_call");
  if (!call || call->is_null()) return {};
  return wrong_value(place, name, "an object with \"function_call\"", "\"tool_calls\"",
                     "write \"tool_calls\": [{\"type\": \"function\", \"function\": {\"name\": ..., \"arguments\": "
                     "...}}], and the answer's role as tool");
}

Status check_message(Value& message, const std::string& name, std::string_view place) {
  if (!message.as_object()) {
    return wrong_value(place, name, kind_of(message), "an object", "write {\"role\": \"user\", \"content\": \"...\"}");
  }
  const Value* role = message.find("role");
  if (!role && message.find("from")) {
    return wrong_value(place, name, "an object with \"from\"", "one with \"role\" and \"content\", as the first",
                       "write all of them in one way");
  }
  if (!role) {
    return wrong_value(place, name + ".role", "missing", "a string", "say who speaks: system, user or assistant");
  }
  if (!role->as_string()) {
    return wrong_value(place, name + ".role", kind_of(*role), "a string", "say who speaks: system, user or assistant");
  }
  if (std::find(kRoles.begin(), kRoles.end(), *role->as_string()) == kRoles.end()) {
    return wrong_value(place, name + ".role", fmt::format("'{}'", formats::printable(*role->as_string())),
                       "system, user, assistant, tool or developer", advice_for_role(*role->as_string()));
  }
  NARU_TRY(check_weight(message, name, place));
  NARU_TRY(check_calls(message, name, place));
  NARU_TRY(flatten_content(message, name, place));
  const Value* content = message.find("content");
  // An assistant that calls a tool may say nothing.
  const Value* calls = message.find("tool_calls");
  const bool has_calls =
      *message.find("role")->as_string() == "assistant" && calls && calls->as_list() && !calls->as_list()->empty();
  if (has_calls && (!content || content->is_null())) return {};
  if (!content) return wrong_value(place, name + ".content", "missing", "a string", "write what is said");
  if (content->as_string()) return {};
  return wrong_value(place, name + ".content", kind_of(*content), "a string", "write what is said");
}

// A list of objects; of tables that hold no objects, the same as text.
Result<Value> tools_of(const Value& root, std::string_view place) {
  if (const Value* functions = root.find("functions"); functions && !functions->is_null()) {
    return wrong_value(place, "the line", "an object with \"functions\"", "\"tools\"",
                       "write \"tools\": [{\"type\": \"function\", \"function\": ...}]");
  }
  const Value* given = root.find("tools");
  if (!given || given->is_null()) return Value();
  Value tools = *given;
  if (const std::string* json = given->as_string()) {
    if (json->find_first_not_of(" \t\r\n") == std::string::npos) return Value();
    auto parsed = text::parse_value(*json, "");
    if (!parsed.ok()) {
      return wrong_value(place, "tools", "a string that is no JSON", "an array of JSON schemas",
                         "correct it, or take it out");
    }
    tools = std::move(*parsed);
  }
  if (tools.is_null()) return Value();
  const Value::List* list = tools.as_list();
  const bool is_good =
      list && std::all_of(list->begin(), list->end(), [](const Value& tool) { return tool.as_object(); });
  if (is_good) return tools;
  return wrong_value(place, "tools", list ? "an array that does not hold objects alone" : kind_of(tools),
                     "an array of JSON schemas", "correct it, or take it out");
}

// "system" beside the messages, as the first of them.
Status add_system(const Value& root, Value::List& messages, std::string_view place) {
  const Value* system = root.find("system");
  if (!system || system->is_null()) return {};
  if (!system->as_string()) {
    return wrong_value(place, "system", kind_of(*system), "a string", "write it as the first message, or take it out");
  }
  if (system->as_string()->empty()) return {};
  const Value* role = messages.empty() ? nullptr : messages[0].find("role");
  if (role && role->as_string() && *role->as_string() == "system") {
    return wrong_value(place, "the line", "an object with \"system\" and a first message of that role", "one of them",
                       "take one out");
  }
  messages.insert(messages.begin(), make_message("system", *system->as_string()));
  return {};
}

Result<Value::List> messages_of(const Value& root, const FoundForm& found, std::string_view place) {
  if (found.form == LineForm::kAlpaca) return alpaca_messages(root, place);
  if (found.form == LineForm::kPromptCompletion) return prompt_messages(root, place);
  const Value& list = *root.find(found.key);
  if (!list.as_list()) {
    return wrong_value(place, found.key, kind_of(list), "an array", "write [{\"role\": ..., \"content\": ...}, ...]");
  }
  if (list.as_list()->empty()) {
    return wrong_value(place, found.key, "empty", "one message at least", "take the line out");
  }
  return found.form == LineForm::kShareGpt ? share_gpt_messages(*list.as_list(), found.key, place) : *list.as_list();
}

Result<Sample> chat_sample(const Value& root, const FoundForm& found, std::string_view place) {
  Sample sample;
  sample.is_chat = true;
  NARU_ASSIGN(sample.messages, messages_of(root, found, place));
  const std::string name = found.form == LineForm::kMessages ? found.key : "messages";
  for (size_t i = 0; i < sample.messages.size(); ++i) {
    NARU_TRY(check_message(sample.messages[i], fmt::format("{}[{}]", name, i), place));
  }
  NARU_TRY(add_system(root, sample.messages, place));
  if (static_cast<int64_t>(sample.messages.size()) > kDataMessagesMax) {
    return Error{Code::kResourceExhausted,
                 fmt::format("reading {}: the conversation has {} messages, at most {} are taken; cut it into several",
                             place, sample.messages.size(), kDataMessagesMax)};
  }
  NARU_ASSIGN(sample.tools, tools_of(root, place));
  return sample;
}

}  // namespace

bool Sample::has_tools() const {
  if (tools.as_list() && !tools.as_list()->empty()) return true;
  return std::any_of(messages.begin(), messages.end(), [](const Value& message) {
    const Value* calls = message.find("tool_calls");
    return calls && calls->as_list() && !calls->as_list()->empty();
  });
}

Result<Sample> parse_sample(std::string_view json, std::string_view place, const formats::JsonPlace& begin) {
  NARU_ASSIGN(const Value root, text::parse_value_at(begin, json, place));
  if (!root.as_object()) {
    return wrong_value(place, "the line", kind_of(root), "an object",
                       "write {\"text\": \"...\"} or {\"messages\": [...]} on every line");
  }
  NARU_ASSIGN(FoundForm found, find_form(root, place));
  Sample sample;
  if (is_conversation(found.form)) {
    NARU_ASSIGN(sample, chat_sample(root, found, place));
  } else {
    const Value& text = *root.find("text");
    if (!text.as_string()) return wrong_value(place, "text", kind_of(text), "a string", "write the text in quotes");
    sample.text = *text.as_string();
  }
  sample.form = found.form;
  sample.note = std::move(found.note);
  return sample;
}

Result<Sample> parse_sample(std::string_view json, std::string_view place) {
  return parse_sample(json, place, formats::JsonPlace());
}

Sample make_exchange(std::string_view question, std::string_view answer) {
  Sample sample;
  sample.form = LineForm::kMessages;
  sample.is_chat = true;
  sample.messages = {make_message("user", question), make_message("assistant", answer)};
  return sample;
}

}  // namespace naru::data
