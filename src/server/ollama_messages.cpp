#include "server/ollama_messages.h"

#include <fmt/format.h>

#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "formats/utf8.h"
#include "server/limits.h"
#include "server/openai_tools.h"
#include "server/text_blocks.h"

namespace naru::server {
namespace {

using text::Value;

constexpr size_t kShortBytesMax = 256;
constexpr size_t kLongBytesMax = kBodyBytesMax;

struct OpenCall {
  std::string id;
  std::string name;
};

// Calls that no result has been read of, in their order.
class OpenCalls {
 public:
  void add(OpenCall call) {
    by_id_[call.id].insert(n_added_);
    by_name_[call.name].insert(n_added_);
    calls_.emplace(n_added_++, std::move(call));
  }

  // The first that has this id, or where that is empty, this name, or any where both are; nothing where there is none.
  std::optional<OpenCall> take(const std::string& id, const std::string& name) {
    const auto first = !id.empty() ? first_of(by_id_, id) : !name.empty() ? first_of(by_name_, name) : first_of_all();
    if (!first) return std::nullopt;
    const auto at = calls_.find(*first);
    OpenCall call = std::move(at->second);
    calls_.erase(at);
    erase(by_id_, call.id, *first);
    erase(by_name_, call.name, *first);
    return call;
  }

 private:
  using Index = std::map<std::string, std::set<int64_t>>;  // numbers of calls; no set is empty

  static std::optional<int64_t> first_of(const Index& index, const std::string& key) {
    const auto at = index.find(key);
    return at != index.end() ? std::optional(*at->second.begin()) : std::nullopt;
  }
  std::optional<int64_t> first_of_all() const {
    return !calls_.empty() ? std::optional(calls_.begin()->first) : std::nullopt;
  }
  static void erase(Index& index, const std::string& key, int64_t number) {
    const auto at = index.find(key);
    at->second.erase(number);
    if (at->second.empty()) index.erase(at);
  }

  int64_t n_added_ = 0;
  std::map<int64_t, OpenCall> calls_;
  Index by_id_, by_name_;
};

class OllamaMessages {
 public:
  explicit OllamaMessages(FieldNotes& notes) : notes_(notes) {}

  Value read(const Value& value, const std::string& place);

 private:
  std::string read_role(Fields& message);
  Value::List read_calls(Fields& message);
  Value read_call(const Value& value, const std::string& place);
  // Which call a tool's result answers: the one it names, else the first that is open, of its tool where it says that.
  OpenCall answered_call(const std::string& id, const std::string& name);

  FieldNotes& notes_;
  int64_t n_calls_ = 0;
  OpenCalls open_calls_;
};

std::string OllamaMessages::read_role(Fields& message) {
  const auto role = message.string("role", kShortBytesMax);
  for (const char* known : {"system", "user", "assistant", "tool"}) {
    if (role == known) return *role;
  }
  const std::string place = message.path_of("role");
  notes_.refuse(place, fmt::format("{} is {}, system, user, assistant or tool was wanted; correct it", place,
                                   role ? formats::printable(*role) : "not there"));
  return {};
}

Value OllamaMessages::read_call(const Value& value, const std::string& place) {
  constexpr std::string_view kWanted = "an object with \"function\": {\"name\", \"arguments\"}";
  if (!check_object(value, place, kWanted, notes_)) return {};
  const Value* function = value.find("function");
  if (function == nullptr || !check_object(*function, place, kWanted, notes_)) {
    notes_.refuse(place, fmt::format("{} has no \"function\", {} was wanted; correct it", place, kWanted));
    return {};
  }
  Fields call(value, place, notes_);
  std::string id = call.string("id", kShortBytesMax).value_or("");
  call.find("type");  // there is but one
  call.find("function");
  call.ignore_rest();
  Fields fields(*function, place + ".function", notes_);
  const auto name = fields.string("name", kShortBytesMax);
  const Value* arguments = fields.find("arguments");
  fields.find("index");  // in order anyhow
  fields.find("description");
  fields.ignore_rest();
  if (!name)
    notes_.refuse(fields.path_of("name"),
                  fmt::format("{} is not there, a string was wanted; give it", fields.path_of("name")));
  const Value nothing = Value::Object();
  if (arguments == nullptr) arguments = &nothing;
  if (arguments->as_object() == nullptr) fields.refuse_wrong("arguments", *arguments, "an object");
  if (!notes_.ok()) return {};
  auto json = text::json_text(*arguments, kLongBytesMax);
  if (!json.ok()) {
    notes_.refuse(fields.path_of("arguments"),
                  fmt::format("{}: {}; send less", fields.path_of("arguments"), json.error().message));
    return {};
  }
  if (id.empty()) id = fmt::format("call_{}", n_calls_);
  ++n_calls_;
  open_calls_.add({id, *name});
  return Value::Object{{"id", id},
                       {"type", "function"},
                       {"function", Value::Object{{"name", *name}, {"arguments", std::move(json).value()}}}};
}

Value::List OllamaMessages::read_calls(Fields& message) {
  Value::List calls;
  const Value* value = message.find("tool_calls");
  if (value == nullptr) return calls;
  const Value::List* list = value->as_list();
  if (list == nullptr) {
    message.refuse_wrong("tool_calls", *value, "an array of calls");
    return calls;
  }
  const std::string place = message.path_of("tool_calls");
  if (static_cast<int64_t>(list->size()) > kCallsMax) {
    notes_.refuse(place, fmt::format("{} has {} elements, at most {} are taken", place, list->size(), kCallsMax));
    return calls;
  }
  for (size_t i = 0; i < list->size() && notes_.ok(); ++i) {
    calls.push_back(read_call((*list)[i], fmt::format("{}[{}]", place, i)));
  }
  return calls;
}

OpenCall OllamaMessages::answered_call(const std::string& id, const std::string& name) {
  if (auto call = open_calls_.take(id, name)) return std::move(*call);
  return {id, name};
}

Value OllamaMessages::read(const Value& value, const std::string& place) {
  if (!check_object(value, place, "an object with \"role\" and \"content\"", notes_)) return {};
  Fields fields(value, place, notes_);
  const std::string role = read_role(fields);
  const auto content = fields.string("content", kLongBytesMax);
  const auto thinking = fields.string("thinking", kLongBytesMax);
  const Value* images = fields.find("images");
  if (images != nullptr && (images->as_list() == nullptr || !images->as_list()->empty())) {
    fields.refuse_unsupported("images", "models take text alone here");
  }
  Value::List calls = read_calls(fields);
  const std::string tool = fields.string("tool_name", kShortBytesMax).value_or("");
  const std::string name = fields.string("name", kShortBytesMax).value_or(tool);
  const std::string id = fields.string("tool_call_id", kShortBytesMax).value_or("");
  fields.ignore_rest();
  if (!calls.empty() && role != "assistant") {
    notes_.refuse(fields.path_of("tool_calls"),
                  fmt::format("{} is given of a message that is not the assistant's; leave it out",
                              fields.path_of("tool_calls")));
  }
  Value::Object message{{"role", role}, {"content", content.value_or("")}};
  if (thinking) message.emplace_back("reasoning_content", *thinking);
  if (!calls.empty()) message.emplace_back("tool_calls", std::move(calls));
  if (role == "tool") {
    const OpenCall call = answered_call(id, name);
    if (!call.id.empty()) message.emplace_back("tool_call_id", call.id);
    if (!call.name.empty()) message.emplace_back("name", call.name);
  } else if (!name.empty()) {
    message.emplace_back("name", name);
  }
  return message;
}

}  // namespace

Value::List read_ollama_messages(Fields& body) {
  Value::List messages;
  const Value* value = body.find("messages");
  if (value == nullptr) return messages;
  const Value::List* list = value->as_list();
  if (list == nullptr) {
    body.refuse_wrong("messages", *value, "an array of messages");
    return messages;
  }
  if (static_cast<int64_t>(list->size()) > kMessagesMax) {
    body.notes().refuse("messages", fmt::format("messages has {} elements, at most {} are taken; send fewer",
                                                list->size(), kMessagesMax));
    return messages;
  }
  OllamaMessages reader(body.notes());
  for (size_t i = 0; i < list->size() && body.notes().ok(); ++i) {
    messages.push_back(reader.read((*list)[i], fmt::format("messages[{}]", i)));
  }
  return messages;
}

Value read_ollama_tools(Fields& body, std::vector<std::string>& strict) {
  return read_tool_list(body, false, strict);
}

}  // namespace naru::server
