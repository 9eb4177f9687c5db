#include "server/value_json.h"

#include <fmt/format.h>

#include "server/json_bytes.h"

namespace naru::server {
namespace {

using text::Value;

std::string double_json(double value) {
  std::string digits = fmt::format("{}", value);
  if (digits.find_first_of(".en") == std::string::npos) digits += ".0";
  return digits;
}

// Values of a request are nested as deep as its JSON may be, and no deeper.
void append_json(const Value& value, std::string& out) {
  if (const bool* b = value.as_bool()) {
    out += *b ? "true" : "false";
  } else if (const int64_t* i = value.as_int()) {
    out += fmt::format("{}", *i);
  } else if (const double* d = value.as_double()) {
    out += double_json(*d);
  } else if (const text::WideNumber* wide = value.as_wide()) {
    out += wide->text;
  } else if (const std::string* text = value.as_string()) {
    out += json_bytes(*text);
  } else if (const Value::List* list = value.as_list()) {
    out += '[';
    for (size_t j = 0; j < list->size(); ++j) {
      if (j > 0) out += ", ";
      append_json((*list)[j], out);
    }
    out += ']';
  } else if (const Value::Object* object = value.as_object()) {
    out += '{';
    for (size_t j = 0; j < object->size(); ++j) {
      if (j > 0) out += ", ";
      out += json_bytes((*object)[j].first);
      out += ": ";
      append_json((*object)[j].second, out);
    }
    out += '}';
  } else {
    out += "null";
  }
}

}  // namespace

std::string value_json(const Value& value) {
  std::string out;
  append_json(value, out);
  return out;
}

}  // namespace naru::server
