#include "server/fields.h"

#include <fmt/format.h>

#include <cmath>

#include "formats/utf8.h"

namespace naru::server {

using text::Value;

std::string shown_value(const Value& value) {
  if (const bool* b = value.as_bool()) return *b ? "true" : "false";
  if (const int64_t* i = value.as_int()) return fmt::format("{}", *i);
  if (const double* d = value.as_double()) return fmt::format("{}", *d);
  if (const text::WideNumber* w = value.as_wide()) return fmt::format("the number {}", formats::printable(w->text, 40));
  if (value.as_string()) return "a string";
  if (value.as_list()) return "an array";
  if (value.as_object()) return "an object";
  return "null";
}

void FieldNotes::refuse(std::string param, std::string message, int status, std::string code) {
  if (refusal_) return;
  refusal_ = Refusal{status, fmt::format("reading the request: {}", message), std::move(param), std::move(code), 0};
}

Fields::Fields(const Value& object, std::string path, FieldNotes& notes)
    : object_(object.as_object()), path_(std::move(path)), notes_(&notes) {
  NARU_CHECK(object_ != nullptr);
}

std::string Fields::path_of(std::string_view name) const {
  const std::string shown = formats::printable(name);
  return path_.empty() ? shown : fmt::format("{}.{}", path_, shown);
}

const Value* Fields::find(std::string_view name) {
  known_.emplace(name);
  for (const auto& [key, value] : *object_) {
    if (key == name) return value.is_null() ? nullptr : &value;
  }
  return nullptr;
}

void Fields::refuse_wrong(std::string_view name, const Value& found, std::string_view wanted) {
  notes_->refuse(path_of(name), fmt::format("{} is {}, {} was wanted; correct it or leave it out", path_of(name),
                                            shown_value(found), wanted));
}

std::optional<int64_t> Fields::integer(std::string_view name, int64_t low, int64_t high) {
  const Value* value = find(name);
  if (value == nullptr) return std::nullopt;
  constexpr double kExactMax = 9007199254740992.0;  // up to here a double is the integer that was written
  const int64_t* i = value->as_int();
  const double* d = value->as_double();
  const bool is_whole = d != nullptr && std::trunc(*d) == *d && std::abs(*d) <= kExactMax;  // 3.0 is 3 in JSON
  const int64_t whole = i != nullptr ? *i : is_whole ? static_cast<int64_t>(*d) : 0;
  if ((i != nullptr || is_whole) && whole >= low && whole <= high) return whole;
  refuse_wrong(name, *value, fmt::format("an integer of {} to {}", low, high));
  return std::nullopt;
}

std::optional<double> Fields::number(std::string_view name, double low, double high) {
  const Value* value = find(name);
  if (value == nullptr) return std::nullopt;
  const int64_t* i = value->as_int();
  const double* d = value->as_double();
  const double number = i ? static_cast<double>(*i) : d ? *d : NAN;
  if (number >= low && number <= high) return number;
  refuse_wrong(name, *value, fmt::format("a number of {} to {}", low, high));
  return std::nullopt;
}

std::optional<bool> Fields::boolean(std::string_view name) {
  const Value* value = find(name);
  if (value == nullptr) return std::nullopt;
  if (const bool* b = value->as_bool()) return *b;
  refuse_wrong(name, *value, "true or false");
  return std::nullopt;
}

std::optional<std::string> Fields::string(std::string_view name, size_t bytes_max) {
  const Value* value = find(name);
  if (value == nullptr) return std::nullopt;
  const std::string* text = value->as_string();
  if (text == nullptr) {
    refuse_wrong(name, *value, "a string");
    return std::nullopt;
  }
  if (text->size() <= bytes_max) return *text;
  notes_->refuse(path_of(name), fmt::format("{} has {} bytes, at most {} are taken; shorten it", path_of(name),
                                            text->size(), bytes_max));
  return std::nullopt;
}

void Fields::ignore(std::string_view name) {
  if (has(name)) notes_->ignore(path_of(name));
}

void Fields::refuse_unsupported(std::string_view name, std::string_view what_to_do) {
  if (!has(name)) return;
  notes_->refuse(path_of(name), fmt::format("{} is given, and it is not done here yet; {}", path_of(name), what_to_do),
                 400, "unsupported_parameter");
}

void Fields::ignore_rest() {
  for (const auto& [key, value] : *object_) {
    if (!known_.contains(key)) notes_->ignore(path_of(key));
  }
}

}  // namespace naru::server
