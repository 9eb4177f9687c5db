#include "server/text_blocks.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/ascii.h"
#include "formats/utf8.h"
#include "server/limits.h"

namespace naru::server {

using text::Value;

void read_objects(const Value& value, const std::string& place, int64_t n_max, FieldNotes& notes,
                  const std::function<void(Fields& element)>& take) {
  const Value::List* list = value.as_list();
  if (list == nullptr) {
    return notes.refuse(place,
                        fmt::format("{} is {}, an array of objects was wanted; correct it", place, shown_value(value)));
  }
  if (static_cast<int64_t>(list->size()) > n_max) {
    return notes.refuse(
        place, fmt::format("{} has {} elements, at most {} are taken; send fewer", place, list->size(), n_max));
  }
  for (size_t i = 0; i < list->size() && notes.ok(); ++i) {
    const std::string at = fmt::format("{}[{}]", place, i);
    if (!check_object((*list)[i], at, "an object", notes)) return;
    Fields element((*list)[i], at, notes);
    take(element);
  }
}

std::string block_type(Fields& block) {
  return block.string("type", kBlockWordBytesMax).value_or("");
}

void refuse_block(Fields& block, std::string_view type, std::string_view wanted) {
  const std::string place = block.path_of("type");
  const std::string found = type.empty() ? "not there" : formats::printable(type);
  block.notes().refuse(place, fmt::format("{} is {}, and models take text alone here; send {}", place, found, wanted),
                       400, type.empty() ? "" : "unsupported_content");
}

bool check_object(const Value& value, const std::string& place, std::string_view wanted, FieldNotes& notes) {
  if (value.as_object() != nullptr) return true;
  notes.refuse(place, fmt::format("{} is {}, {} was wanted; correct it", place, shown_value(value), wanted));
  return false;
}

std::string required_string(Fields& fields, std::string_view name, size_t bytes_max) {
  auto text = fields.string(name, bytes_max);
  if (text) return std::move(*text);
  const std::string place = fields.path_of(name);
  fields.notes().refuse(place, fmt::format("{} is not there, a string was wanted; give one", place));
  return {};
}

std::string read_text_blocks(const Value& value, const std::string& place, FieldNotes& notes,
                             std::initializer_list<std::string_view> types) {
  if (const std::string* text = value.as_string()) return *text;
  std::string text;
  if (value.as_list() == nullptr) {
    notes.refuse(place, fmt::format("{} is {}, a string or an array of blocks was wanted; correct it", place,
                                    shown_value(value)));
    return text;
  }
  bool is_first = true;
  read_objects(value, place, kMessagePartsMax, notes, [&](Fields& block) {
    const std::string type = block_type(block);
    if (std::find(types.begin(), types.end(), type) == types.end()) {
      return refuse_block(block, type, fmt::format("blocks of type \"{}\"", *types.begin()));
    }
    ignore_cache_control(block);
    for (const char* name : {"annotations", "citations", "logprobs"}) block.find(name);  // of answers sent back
    if (!std::exchange(is_first, false)) text += '\n';
    text += required_string(block, type == "refusal" ? "refusal" : "text", kBodyBytesMax);
    block.ignore_rest();
  });
  return text;
}

void ignore_cache_control(Fields& fields) {
  if (fields.has("cache_control")) fields.notes().ignore("cache_control");
}

bool is_tool_name(std::string_view name) {
  return !name.empty() && static_cast<int64_t>(name.size()) <= kToolNameBytesMax &&
         std::all_of(name.begin(), name.end(), [](char c) { return is_ascii_alphanumeric(c) || c == '_' || c == '-'; });
}

void ToolList::add(Fields& tool, const Value* parameters) {
  std::string name = required_string(tool, "name", kBlockWordBytesMax);
  const auto description = tool.string("description", kBodyBytesMax);
  const bool is_strict = tool.boolean("strict").value_or(false);
  if (!tool.notes().ok()) return;
  const std::string place = tool.path_of("name");
  if (!is_tool_name(name)) {
    return tool.notes().refuse(
        place, fmt::format("{} is '{}', 1 to {} letters, digits, '_' and '-' were wanted; rename it", place,
                           formats::printable(name), kToolNameBytesMax));
  }
  if (!names_.insert(name).second) {
    return tool.notes().refuse(place, fmt::format("{} is '{}', which another tool is called; rename one", place, name));
  }
  if (is_strict) strict_.push_back(name);
  Value::Object function;
  function.emplace_back("name", std::move(name));
  if (description) function.emplace_back("description", *description);
  // A tool without parameters: templates ask for the schema all the same.
  const Value none(Value::Object{{"type", "object"}, {"properties", Value::Object()}});
  function.emplace_back("parameters", parameters != nullptr ? *parameters : none);
  Value::Object form;
  form.emplace_back("type", "function");
  form.emplace_back("function", std::move(function));
  tools_.emplace_back(std::move(form));
}

}  // namespace naru::server
