// The strict parser: nlohmann's iterative SAX reader with a handler of ours in front of it that enforces the limits.
#include "formats/json.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "formats/json_place.h"
#include "formats/json_tree.h"
#include "formats/utf8.h"

namespace naru::formats {
namespace {

using Json = nlohmann::json;
constexpr std::string_view kDamaged = "the file is damaged or no JSON, get it again";
constexpr std::string_view kCorrectIt = "correct it there";

// Between nlohmann's reader and JsonEvents: limits and number ranges.
class StrictReader final : public nlohmann::json_sax<Json> {
 public:
  StrictReader(const JsonLimits& limits, JsonEvents* events) : limits_(limits), events_(events) {}

  bool null() override { return count() && events_->on_null(); }
  bool boolean(bool value) override { return count() && events_->on_bool(value); }
  bool number_integer(int64_t value) override { return count() && events_->on_integer(value); }
  bool number_unsigned(uint64_t value) override {
    if (value > static_cast<uint64_t>(INT64_MAX)) {
      if (limits_.wide_integers) return count() && events_->on_double(static_cast<double>(value));
      return refuse(out_of_range_text(std::to_string(value)));
    }
    return count() && events_->on_integer(static_cast<int64_t>(value));
  }
  bool number_float(double value, const std::string& text) override {
    // The reader turns an integer that fits no 64 bits into a double; its text tells.
    if (!limits_.wide_integers && text.find_first_of(".eE") == std::string::npos)
      return refuse(out_of_range_text(text));
    return count() && events_->on_double(value);
  }
  bool string(std::string& value) override { return count() && events_->on_string(std::move(value)); }
  bool binary(Json::binary_t&) override { return refuse("a binary value, which JSON has not"); }
  bool key(std::string& value) override { return events_->on_key(std::move(value)); }
  bool start_object(size_t) override { return count() && enter() && events_->on_start_object(); }
  bool start_array(size_t) override { return count() && enter() && events_->on_start_array(); }
  bool end_object() override {
    --depth_;
    return events_->on_end_object();
  }
  bool end_array() override {
    --depth_;
    return events_->on_end_array();
  }
  bool parse_error(size_t position, const std::string&, const nlohmann::detail::exception& error) override {
    std::string_view text = error.what();  // "[json.exception.parse_error.101] parse error at line 1, ...: reason"
    if (const size_t at = text.find("] "); at != std::string_view::npos) text.remove_prefix(at + 2);
    if (const size_t at = text.find("; last read"); at != std::string_view::npos) text = text.substr(0, at);
    position_ = position;
    return refuse(printable(text, 200));
  }

  const std::string& reason() const { return reason_; }
  // Of the byte at which it is no JSON, from 1; 0 where that is not why it was refused.
  size_t position() const { return position_; }

 private:
  static std::string out_of_range_text(const std::string& number) {
    return fmt::format("the integer {} fits no 64 bits", printable(number, 40));
  }
  bool refuse(std::string reason) {
    reason_ = std::move(reason);
    return false;
  }
  bool count() {
    if (++values_ <= limits_.values_max) return true;
    return refuse(fmt::format("it has more than {} values, the most that is read", limits_.values_max));
  }
  bool enter() {
    if (++depth_ <= limits_.depth_max) return true;
    return refuse(
        fmt::format("its objects and arrays are more than {} deep, the most that is read", limits_.depth_max));
  }

  const JsonLimits& limits_;
  JsonEvents* events_;
  int64_t depth_ = 0;
  int64_t values_ = 0;
  std::string reason_;
  size_t position_ = 0;
};

Error json_error(std::string_view name, std::string_view reason, std::string_view next = kDamaged) {
  return {Code::kCorrupt, fmt::format("reading {}: {}; {}", name, reason, next)};
}

// What is wrong at a byte of the text, counted from 1; `place` is null where the text is all of its file.
Error error_at(size_t position, std::string_view reason, std::string_view text, std::string_view name,
               const JsonPlace* place) {
  if (place == nullptr) return json_error(name, fmt::format("at byte {}: {}", position, reason));
  const std::string_view before = text.substr(0, position > 0 ? position - 1 : 0);
  const auto line_ends = std::count(before.begin(), before.end(), '\n');
  const auto behind = static_cast<int64_t>(before.size() - (line_ends > 0 ? before.rfind('\n') + 1 : 0));
  // "parse error at line 1, column 17: syntax error ...": of the text, not of the file.
  if (const size_t at = reason.find(": "); reason.starts_with("parse error at") && at != std::string_view::npos) {
    reason.remove_prefix(at + 2);
  }
  const int64_t column = behind + (line_ends > 0 ? 1 : place->column);
  return json_error(name, fmt::format("at line {}, column {}: {}", place->line + line_ends, column, reason),
                    kCorrectIt);
}

template <typename T>
Result<T> require(Result<std::optional<T>> found, const JsonObject& object, std::string_view key,
                  std::string_view wanted) {
  if (!found.ok()) return std::move(found).error();
  if (!found->has_value()) return object.missing(key, wanted);
  return std::move(**found);
}

template <typename T>
Result<T> with_fallback(Result<std::optional<T>> found, T fallback) {
  if (!found.ok()) return std::move(found).error();
  if (!found->has_value()) return fallback;
  return std::move(**found);
}

}  // namespace

// Where the next value goes: the root, the slot of the last key, or the end of the open array. The pointer stays good:
// an array grows only after its last element is closed, and the nodes of a map do not move.
nlohmann::json* JsonTree::place(nlohmann::json&& value) {
  if (open_.empty()) {
    root_ = std::move(value);
    return &root_;
  }
  if (open_.back()->is_array()) {
    auto& array = open_.back()->get_ref<Json::array_t&>();
    array.push_back(std::move(value));
    return &array.back();
  }
  *slot_ = std::move(value);
  return slot_;
}

bool JsonTree::on_key(std::string&& key) {
  const auto [found, inserted] = open_.back()->get_ref<Json::object_t&>().try_emplace(std::move(key), nullptr);
  if (!inserted) {
    return fail(Code::kCorrupt, fmt::format("the key '{}' is there twice in one object, a document of one meaning was "
                                            "wanted; remove one of them",
                                            printable(found->first)));
  }
  slot_ = &found->second;
  return true;
}

bool JsonTree::on_start_object() {
  open_.push_back(place(Json(Json::value_t::object)));
  return true;
}

bool JsonTree::on_start_array() {
  open_.push_back(place(Json(Json::value_t::array)));
  return true;
}

bool JsonTree::on_end_object() {
  open_.pop_back();
  return true;
}

bool JsonTree::on_end_array() {
  open_.pop_back();
  return true;
}

namespace {

Status walk(Bytes text, std::string_view name, const JsonLimits& limits, JsonEvents* events, const JsonPlace* place) {
  const std::string_view view = as_text(text);
  if (static_cast<int64_t>(view.size()) > limits.bytes_max) {
    return Error{Code::kCorrupt,
                 fmt::format("reading {}: it has {} bytes and at most {} are read; is it the right file?", name,
                             view.size(), limits.bytes_max)};
  }
  if (view.substr(0, 3) == "\xef\xbb\xbf") {
    return json_error(name, "it starts with a byte order mark, which JSON must not have",
                      place != nullptr ? kCorrectIt : kDamaged);
  }
  // The reader takes a zero byte for the end of the text, and what follows it would go unseen.
  if (const size_t at = view.find('\0'); at != std::string_view::npos) {
    constexpr std::string_view kZero = "a zero byte, which JSON text must not have";
    return place == nullptr ? json_error(name, fmt::format("at byte {}: {}", at, kZero))
                            : error_at(at + 1, kZero, view, name, place);
  }
  StrictReader reader(limits, events);
  if (Json::sax_parse(view.begin(), view.end(), &reader)) return {};
  if (events->error()) {
    return Error{events->error()->code, fmt::format("reading {}: {}", name, events->error()->message)};
  }
  if (reader.position() > 0) return error_at(reader.position(), reader.reason(), view, name, place);
  return json_error(name, reader.reason(), place != nullptr ? kCorrectIt : kDamaged);
}

}  // namespace

Status walk_json(Bytes text, std::string_view name, const JsonLimits& limits, JsonEvents* events) {
  return walk(text, name, limits, events, nullptr);
}

Status walk_json_at(const JsonPlace& place, Bytes text, std::string_view name, const JsonLimits& limits,
                    JsonEvents* events) {
  return walk(text, name, limits, events, &place);
}

Result<nlohmann::json> parse_json(Bytes text, std::string_view name, const JsonLimits& limits) {
  JsonTree tree;
  NARU_TRY(walk_json(text, name, limits, &tree));
  Json root = tree.take();
  if (limits.object_root && !root.is_object()) {
    return json_error(name, fmt::format("it is {} and an object was wanted", json_brief(root)));
  }
  return root;
}

std::string json_brief(const nlohmann::json& value) {
  switch (value.type()) {
    case Json::value_t::null: return "null";
    case Json::value_t::object: return "an object";
    case Json::value_t::array: return fmt::format("an array of {}", value.size());
    case Json::value_t::string:
      return fmt::format("the string \"{}\"", printable(value.get_ref<const std::string&>(), 60));
    case Json::value_t::boolean: return value.get<bool>() ? "true" : "false";
    case Json::value_t::number_integer: return std::to_string(value.get<int64_t>());
    case Json::value_t::number_unsigned: return std::to_string(value.get<uint64_t>());
    case Json::value_t::number_float: return fmt::format("{}", value.get<double>());
    case Json::value_t::binary:
    case Json::value_t::discarded: break;
  }
  return "no JSON value";
}

Result<JsonObject> JsonObject::of(const nlohmann::json& value, std::string_view document, std::string path) {
  if (!value.is_object()) {
    return Error{Code::kCorrupt, fmt::format("reading {}: {} is {}, an object was wanted; {}", document,
                                             path.empty() ? "the document" : path, json_brief(value), kDamaged)};
  }
  return JsonObject(&value, std::string(document), std::move(path));
}

const nlohmann::json* JsonObject::find(std::string_view key) const {
  const auto& object = value_->get_ref<const Json::object_t&>();
  const auto place = object.find(key);
  return place == object.end() || place->second.is_null() ? nullptr : &place->second;
}

std::string JsonObject::path_of(std::string_view key) const {
  return path_.empty() ? printable(key) : fmt::format("{}.{}", path_, printable(key));
}

Error JsonObject::wrong(Code code, std::string_view key, std::string_view found, std::string_view wanted,
                        std::string_view next) const {
  return {code, fmt::format("reading {}: {} is {}, {} was wanted; {}", document_, path_of(key), found, wanted, next)};
}

Error JsonObject::missing(std::string_view key, std::string_view wanted) const {
  return {Code::kCorrupt,
          fmt::format("reading {}: {} is missing, {} was wanted; the file is incomplete, or of another kind of model",
                      document_, path_of(key), wanted)};
}

Result<std::optional<int64_t>> JsonObject::find_int(std::string_view key, int64_t min, int64_t max) const {
  const Json* value = find(key);
  if (value == nullptr) return std::optional<int64_t>();
  const bool is_integer = value->is_number_integer();
  if (!is_integer || value->get<int64_t>() < min || value->get<int64_t>() > max) {
    return wrong(Code::kCorrupt, key, json_brief(*value), fmt::format("an integer from {} to {}", min, max),
                 "correct the file or get it again");
  }
  return std::optional(value->get<int64_t>());
}

Result<std::optional<double>> JsonObject::find_double(std::string_view key) const {
  const Json* value = find(key);
  if (value == nullptr) return std::optional<double>();
  if (!value->is_number()) {
    return wrong(Code::kCorrupt, key, json_brief(*value), "a number", "correct the file or get it again");
  }
  return std::optional(value->get<double>());
}

Result<std::optional<bool>> JsonObject::find_bool(std::string_view key) const {
  const Json* value = find(key);
  if (value == nullptr) return std::optional<bool>();
  if (!value->is_boolean()) {
    return wrong(Code::kCorrupt, key, json_brief(*value), "true or false", "correct the file or get it again");
  }
  return std::optional(value->get<bool>());
}

Result<std::optional<std::string>> JsonObject::find_string(std::string_view key) const {
  const Json* value = find(key);
  if (value == nullptr) return std::optional<std::string>();
  if (!value->is_string()) {
    return wrong(Code::kCorrupt, key, json_brief(*value), "a string", "correct the file or get it again");
  }
  return std::optional(value->get<std::string>());
}

Result<std::optional<JsonObject>> JsonObject::find_object(std::string_view key) const {
  const Json* value = find(key);
  if (value == nullptr) return std::optional<JsonObject>();
  NARU_ASSIGN(JsonObject object, of(*value, document_, path_of(key)));
  return std::optional(std::move(object));
}

Result<std::vector<const nlohmann::json*>> JsonObject::find_array(std::string_view key) const {
  std::vector<const Json*> elements;
  const Json* value = find(key);
  if (value == nullptr) return elements;
  if (!value->is_array()) {
    return wrong(Code::kCorrupt, key, json_brief(*value), "an array", "correct the file or get it again");
  }
  elements.reserve(value->size());
  for (const Json& element : *value) elements.push_back(&element);
  return elements;
}

Result<std::vector<int32_t>> JsonObject::find_ids(std::string_view key, int32_t min, int32_t max) const {
  std::vector<int32_t> ids;
  const Json* value = find(key);
  if (value == nullptr) return ids;
  const auto add = [&](const Json& element) {
    if (!element.is_number_integer() || element.get<int64_t>() < min || element.get<int64_t>() > max) return false;
    ids.push_back(element.get<int32_t>());
    return true;
  };
  bool good = true;
  if (value->is_array()) {
    for (const Json& element : *value) good = good && add(element);
  } else {
    good = add(*value);
  }
  if (!good) {
    return wrong(Code::kCorrupt, key, json_brief(*value),
                 fmt::format("a token id from {} to {}, or an array of them", min, max),
                 "correct the file or get it again");
  }
  return ids;
}

Result<int64_t> JsonObject::get_int(std::string_view key, int64_t min, int64_t max) const {
  return require(find_int(key, min, max), *this, key, "an integer");
}
Result<double> JsonObject::get_double(std::string_view key) const {
  return require(find_double(key), *this, key, "a number");
}
Result<bool> JsonObject::get_bool(std::string_view key) const {
  return require(find_bool(key), *this, key, "true or false");
}
Result<std::string> JsonObject::get_string(std::string_view key) const {
  return require(find_string(key), *this, key, "a string");
}
Result<JsonObject> JsonObject::get_object(std::string_view key) const {
  return require(find_object(key), *this, key, "an object");
}

Result<int64_t> JsonObject::get_int_or(std::string_view key, int64_t min, int64_t max, int64_t fallback) const {
  return with_fallback(find_int(key, min, max), fallback);
}
Result<double> JsonObject::get_double_or(std::string_view key, double fallback) const {
  return with_fallback(find_double(key), fallback);
}
Result<bool> JsonObject::get_bool_or(std::string_view key, bool fallback) const {
  return with_fallback(find_bool(key), fallback);
}
Result<std::string> JsonObject::get_string_or(std::string_view key, std::string fallback) const {
  return with_fallback(find_string(key), std::move(fallback));
}

std::string json_quoted(const std::string& text) {
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace naru::formats
