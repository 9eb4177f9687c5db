// Value: what a chat template is given: messages, tools and settings as JSON-like data. Objects keep their order.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/result.h"

namespace naru::formats {
struct JsonPlace;
}

namespace naru::text {

// A JSON number that neither an int64 nor a double holds, as it is written: 18446744073709551616, 1e400.
struct WideNumber {
  std::string text;
  bool is_integer() const { return text.find_first_of(".eE") == std::string::npos; }
};

class Value {
 public:
  using List = std::vector<Value>;
  using Object = std::vector<std::pair<std::string, Value>>;  // no key twice

  Value() = default;                                           // null
  Value(std::nullptr_t) {}                                     // NOLINT: implicit by design
  Value(bool b) : state_(b) {}                                 // NOLINT: implicit by design
  Value(int i) : state_(int64_t{i}) {}                         // NOLINT: implicit by design
  Value(int64_t i) : state_(i) {}                              // NOLINT: implicit by design
  Value(double d) : state_(d) {}                               // NOLINT: implicit by design
  Value(const char* text) : state_(std::string(text)) {}       // NOLINT: implicit by design
  Value(std::string_view text) : state_(std::string(text)) {}  // NOLINT: implicit by design
  Value(std::string text) : state_(std::move(text)) {}         // NOLINT: implicit by design
  Value(WideNumber number) : state_(std::move(number)) {}      // NOLINT: implicit by design
  Value(List list) : state_(std::move(list)) {}                // NOLINT: implicit by design
  Value(Object object) : state_(std::move(object)) {}          // NOLINT: implicit by design

  bool is_null() const { return state_.index() == 0; }
  const bool* as_bool() const { return std::get_if<bool>(&state_); }
  const int64_t* as_int() const { return std::get_if<int64_t>(&state_); }
  const double* as_double() const { return std::get_if<double>(&state_); }
  const WideNumber* as_wide() const { return std::get_if<WideNumber>(&state_); }
  const std::string* as_string() const { return std::get_if<std::string>(&state_); }
  const List* as_list() const { return std::get_if<List>(&state_); }
  const Object* as_object() const { return std::get_if<Object>(&state_); }
  List* as_list() { return std::get_if<List>(&state_); }
  Object* as_object() { return std::get_if<Object>(&state_); }

  // The value of a key; nullptr where this is no object or has no such key.
  const Value* find(std::string_view key) const;
  // Sets a key of an object; a null becomes an object first. Anything else is left as it is.
  void set(std::string_view key, Value value);

 private:
  std::variant<std::nullptr_t, bool, int64_t, double, std::string, List, Object, WideNumber> state_ = nullptr;
};

// From JSON text (limits and strictness of formats/json.h: depth 64, 16 MiB, no duplicate keys). `name` appears in
// messages only. Any JSON number is taken.
Result<Value> parse_value(std::string_view json, std::string_view name);
// The same of a text inside a file, whose line and column messages say.
Result<Value> parse_value_at(const formats::JsonPlace& place, std::string_view json, std::string_view name);

// The value as JSON on one line, with the blanks of Python's json.dumps: as models are trained to write it, and as
// templates write what they are given as data, and any number. kResourceExhausted past `bytes_max`.
Result<std::string> json_text(const Value& value, size_t bytes_max);

}  // namespace naru::text
