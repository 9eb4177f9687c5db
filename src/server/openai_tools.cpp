#include "server/openai_tools.h"

#include <fmt/format.h>

#include <algorithm>

#include "formats/utf8.h"
#include "server/form_fields.h"
#include "server/limits.h"
#include "server/text_blocks.h"

namespace naru::server {
namespace {

using text::Value;

constexpr size_t kIdBytesMax = 256;
constexpr size_t kDescriptionBytesMax = kBodyBytesMax;

// {"type": "function", "function": {...}}: the inner object; null where something is wrong.
const Value* function_object(Fields& outer, bool needs_type) {
  FieldNotes& notes = outer.notes();
  const std::string type_place = outer.path_of("type");
  const auto type = outer.string("type", kIdBytesMax);
  if (!notes.ok()) return nullptr;
  if (type ? *type != "function" : needs_type) {
    notes.refuse(type_place,
                 fmt::format("{} is {}, \"function\" was wanted, the one kind of tool there is here", type_place,
                             type ? formats::printable(*type) : "not there"),
                 400, "unsupported_parameter");
    return nullptr;
  }
  const Value* function = outer.find("function");
  const std::string place = outer.path_of("function");
  if (function == nullptr) {
    notes.refuse(place, fmt::format("{} is not there, an object with \"name\" was wanted", place));
  } else if (function->as_object() == nullptr) {
    outer.refuse_wrong("function", *function, "an object with \"name\"");
    return nullptr;
  }
  return function;
}

Value read_tool(const Value& value, const std::string& place, bool needs_type, FieldNotes& notes, bool& is_strict) {
  if (!check_object(value, place, "an object with \"type\" and \"function\"", notes)) return {};
  Fields outer(value, place, notes);
  const Value* object = function_object(outer, needs_type);
  if (object == nullptr) return {};
  Fields fields(*object, outer.path_of("function"), notes);
  Value::Object function;
  const std::string name = required_string(fields, "name", kIdBytesMax);
  if (notes.ok() && !is_tool_name(name)) {
    notes.refuse(fields.path_of("name"),
                 fmt::format("{} is \"{}\", 1 to {} letters, digits, '_' and '-' were wanted; rename the tool",
                             fields.path_of("name"), formats::printable(name), kToolNameBytesMax));
  }
  function.emplace_back("name", name);
  if (const auto said = fields.string("description", kDescriptionBytesMax)) {
    function.emplace_back("description", *said);
  }
  const Value* parameters = fields.find("parameters");
  if (parameters != nullptr && parameters->as_object() == nullptr) {
    fields.refuse_wrong("parameters", *parameters, "an object, a JSON schema");
  }
  // A tool without parameters: templates ask for the schema all the same.
  const Value none(Value::Object{{"type", "object"}, {"properties", Value::Object()}});
  function.emplace_back("parameters", parameters != nullptr ? *parameters : none);
  is_strict = fields.boolean("strict").value_or(false);
  fields.ignore_rest();
  outer.ignore_rest();
  return Value::Object{{"type", "function"}, {"function", Value(std::move(function))}};
}

constexpr ToolChoiceWords kChoiceWords = {"required", "function"};

// A word, or {"type": "function", "function": {"name"}}.
void read_tool_choice(Fields& body, AnswerRequest& request) {
  constexpr std::string_view kWanted =
      R"("auto", "none", "required" or {"type": "function", "function": {"name": NAME}})";
  const Value* choice = body.find("tool_choice");
  if (choice == nullptr) return;
  const std::string* word = choice->as_string();
  if (word != nullptr && *word != kChoiceWords.named) {
    if (take_tool_choice(*word, kChoiceWords, request)) return;
    return body.notes().refuse(
        "tool_choice", fmt::format("tool_choice is \"{}\", {} was wanted", formats::printable(*word, 40), kWanted));
  }
  if (choice->as_object() == nullptr) return body.refuse_wrong("tool_choice", *choice, kWanted);
  Fields outer(*choice, "tool_choice", body.notes());
  const Value* object = function_object(outer, true);
  if (object == nullptr) return;
  Fields function(*object, "tool_choice.function", body.notes());
  request.only_tool = required_string(function, "name", kIdBytesMax);
  take_tool_choice(kChoiceWords.named, kChoiceWords, request);
  function.ignore_rest();
  outer.ignore_rest();
}

bool is_empty_list(const Value* value) {
  return value != nullptr && value->as_list() != nullptr && value->as_list()->empty();
}

}  // namespace

Value read_tool_list(Fields& body, bool needs_type, std::vector<std::string>& strict) {
  const Value* value = body.find("tools");
  if (value == nullptr) return {};
  FieldNotes& notes = body.notes();
  const Value::List* list = value->as_list();
  if (list == nullptr) {
    body.refuse_wrong("tools", *value, "an array of tools");
    return {};
  }
  if (static_cast<int64_t>(list->size()) > kToolsMax) {
    notes.refuse("tools",
                 fmt::format("tools has {} elements, at most {} are taken; send fewer", list->size(), kToolsMax));
    return {};
  }
  Value::List tools;
  std::vector<std::string> names;
  for (size_t i = 0; i < list->size() && notes.ok(); ++i) {
    const std::string place = fmt::format("tools[{}]", i);
    bool is_strict = false;
    Value tool = read_tool((*list)[i], place, needs_type, notes, is_strict);
    if (!notes.ok()) return {};
    const std::string& name = *tool.find("function")->find("name")->as_string();
    if (std::find(names.begin(), names.end(), name) != names.end()) {
      notes.refuse(place + ".function.name",
                   fmt::format("{}.function.name is {}, the name of an earlier tool; rename one", place, name));
      return {};
    }
    names.push_back(name);
    if (is_strict) strict.push_back(name);
    tools.push_back(std::move(tool));
  }
  if (tools.empty()) return {};
  return tools;
}

void read_openai_tools(Fields& body, AnswerRequest& request) {
  request.tools = read_tool_list(body, true, request.strict_tools);
  request.parallel_calls = body.boolean("parallel_tool_calls").value_or(true);
  read_tool_choice(body, request);
  if (!is_empty_list(body.find("functions"))) {
    body.refuse_unsupported("functions", "it is the old name: send \"tools\"");
  }
  const Value* choice = body.find("function_call");
  const std::string* word = choice != nullptr ? choice->as_string() : nullptr;
  if (word == nullptr || (*word != "none" && *word != "auto")) {
    body.refuse_unsupported("function_call", "it is the old name: send \"tool_choice\"");
  }
}

Value::List read_openai_calls(Fields& message) {
  Value::List calls;
  const Value* value = message.find("tool_calls");
  if (value == nullptr) return calls;
  FieldNotes& notes = message.notes();
  const Value::List* list = value->as_list();
  if (list == nullptr) {
    message.refuse_wrong("tool_calls", *value, "an array of calls");
    return calls;
  }
  const std::string path = message.path_of("tool_calls");
  if (static_cast<int64_t>(list->size()) > kCallsMax) {
    notes.refuse(path, fmt::format("{} has {} elements, at most {} are taken", path, list->size(), kCallsMax));
    return calls;
  }
  for (size_t i = 0; i < list->size() && notes.ok(); ++i) {
    const std::string place = fmt::format("{}[{}]", path, i);
    if (!check_object((*list)[i], place, "an object with \"id\", \"type\" and \"function\"", notes)) break;
    Fields outer((*list)[i], place, notes);
    const std::string id = required_string(outer, "id", kIdBytesMax);
    const Value* object = function_object(outer, true);
    if (object == nullptr) break;
    Fields fields(*object, outer.path_of("function"), notes);
    const std::string name = required_string(fields, "name", kIdBytesMax);
    const std::string arguments = required_string(fields, "arguments", kBodyBytesMax);
    fields.ignore_rest();
    outer.find("index");  // what a client took from a stream
    outer.ignore_rest();
    const Value function(Value::Object{{"name", name}, {"arguments", arguments}});
    calls.emplace_back(Value::Object{{"id", id}, {"type", "function"}, {"function", function}});
  }
  return calls;
}

}  // namespace naru::server
