// See value.h.
#include "text/value.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "base/bytes.h"
#include "formats/json_place.h"
#include "formats/utf8.h"
#include "text/jinja/data.h"

namespace naru::text {
namespace {

// The number `index` of a document, which no int64 and no double holds.
struct WideToken {
  int64_t index;
  std::string text;
};

// Whether these are all of a JSON number: -? int frac? exp?
bool is_json_number(std::string_view text) {
  const auto digits = [&] {
    const size_t n = std::min(text.find_first_not_of("0123456789"), text.size());
    text.remove_prefix(n);
    return n;
  };
  if (text.starts_with('-')) text.remove_prefix(1);
  const bool has_zero = text.starts_with('0');
  const size_t n = digits();
  if (n == 0 || (has_zero && n > 1)) return false;
  if (text.starts_with('.')) {
    text.remove_prefix(1);
    if (digits() == 0) return false;
  }
  if (text.starts_with('e') || text.starts_with('E')) {
    text.remove_prefix(1);
    if (text.starts_with('+') || text.starts_with('-')) text.remove_prefix(1);
    if (digits() == 0) return false;
  }
  return text.empty();
}

bool is_wide(const std::string& text) {
  if (!is_json_number(text)) return false;  // the parser says what is wrong
  if (text.find_first_of(".eE") != std::string::npos) return std::isinf(std::strtod(text.c_str(), nullptr));
  int64_t value = 0;
  return std::from_chars(text.data(), text.data() + text.size(), value).ec == std::errc::result_out_of_range;
}

// Puts 0 in the place of wide numbers, which the parser refuses, and gives them back. Every other byte stays where it
// is, for messages that name places.
std::vector<WideToken> take_wide_numbers(std::string& json) {
  std::vector<WideToken> wide;
  int64_t index = 0;
  for (size_t at = 0; at < json.size();) {
    if (json[at] == '"') {
      for (++at; at < json.size() && json[at] != '"'; ++at) at += json[at] == '\\' ? 1 : 0;
      ++at;
    } else if (json[at] == '-' || (json[at] >= '0' && json[at] <= '9')) {
      const size_t end = std::min(json.find_first_not_of("+-.0123456789eE", at), json.size());
      std::string text = json.substr(at, end - at);
      if (text.size() > 18 || text.find_first_of("eE") != std::string::npos) {
        if (is_wide(text)) {
          json.replace(at, text.size(), "0" + std::string(text.size() - 1, ' '));
          wide.push_back({index, std::move(text)});
        }
      }
      ++index;
      at = end;
    } else {
      ++at;
    }
  }
  return wide;
}

// Builds the value while the document is walked, so that keys keep their order.
class Builder : public formats::JsonEvents {
 public:
  explicit Builder(std::vector<WideToken> wide) : wide_(std::move(wide)) {}

  bool on_null() override { return put(nullptr); }
  bool on_bool(bool value) override { return put(value); }
  bool on_integer(int64_t value) override { return put_number(value); }
  bool on_double(double value) override { return put_number(value); }
  bool on_string(std::string&& value) override { return put(std::move(value)); }
  bool on_key(std::string&& key) override {
    if (open_.back().value.find(key))
      return fail(Code::kCorrupt, "key '" + formats::printable(key) + "' stands twice in one object; remove one");
    open_.back().key = std::move(key);
    return true;
  }
  bool on_start_object() override { return open(Value::Object()); }
  bool on_end_object() override { return close(); }
  bool on_start_array() override { return open(Value::List()); }
  bool on_end_array() override { return close(); }
  Value take() { return std::move(root_); }

 private:
  bool put_number(Value&& value) {
    const int64_t index = n_numbers_++;
    if (n_wide_ == wide_.size() || wide_[n_wide_].index != index) return put(std::move(value));
    return put(WideNumber{std::move(wide_[n_wide_++].text)});
  }
  struct Open {
    Value value;
    std::string key;  // of the value to come
  };
  bool open(Value value) {
    open_.push_back({std::move(value), {}});
    return true;
  }
  bool close() {
    Value done = std::move(open_.back().value);
    open_.pop_back();
    return put(std::move(done));
  }
  [[gnu::noinline]] bool put(Value&& value) {
    if (open_.empty()) {
      root_ = std::move(value);
    } else if (auto* list = open_.back().value.as_list()) {
      list->push_back(std::move(value));
    } else if (auto* object = open_.back().value.as_object()) {
      object->emplace_back(std::move(open_.back().key), std::move(value));
    }
    return true;
  }
  std::vector<Open> open_;
  Value root_;
  std::vector<WideToken> wide_;
  size_t n_wide_ = 0;
  int64_t n_numbers_ = 0;
};

}  // namespace

const Value* Value::find(std::string_view key) const {
  const Object* object = as_object();
  if (!object) return nullptr;
  for (const auto& [name, value] : *object) {
    if (name == key) return &value;
  }
  return nullptr;
}

void Value::set(std::string_view key, Value value) {
  if (is_null()) state_ = Object();
  Object* object = as_object();
  if (!object) return;
  for (auto& [name, old] : *object) {
    if (name == key) {
      old = std::move(value);
      return;
    }
  }
  object->emplace_back(std::string(key), std::move(value));
}

namespace {

// `walk` is one of the two of formats.
template <typename Walk>
Result<Value> build_value(std::string_view json, const Walk& walk) {
  formats::JsonLimits limits;
  limits.object_root = false;
  std::string text(json.substr(0, static_cast<size_t>(limits.bytes_max) + 1));
  Builder builder(take_wide_numbers(text));
  NARU_TRY(walk(as_bytes(text), limits, &builder));
  return builder.take();
}

}  // namespace

Result<Value> parse_value(std::string_view json, std::string_view name) {
  return build_value(json, [&](Bytes text, const formats::JsonLimits& limits, formats::JsonEvents* events) {
    return formats::walk_json(text, name, limits, events);
  });
}

Result<Value> parse_value_at(const formats::JsonPlace& place, std::string_view json, std::string_view name) {
  return build_value(json, [&](Bytes text, const formats::JsonLimits& limits, formats::JsonEvents* events) {
    return formats::walk_json_at(place, text, name, limits, events);
  });
}

Result<std::string> json_text(const Value& value, size_t bytes_max) {
  NARU_ASSIGN(const jinja::Val data, jinja::from_outside(value));
  jinja::JsonStyle style;
  style.any_number = true;
  NARU_ASSIGN(jinja::Text text, jinja::to_json(data, style, bytes_max));
  return std::move(text.bytes);
}

}  // namespace naru::text
