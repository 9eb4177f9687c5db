// Strict JSON from untrusted bytes, and typed access to it with messages that name the key.
//
// Refused: a byte order mark, anything after the value, invalid UTF-8, a key twice in one object, integers outside
// int64, numbers that are infinite as double, and documents past the limits below. The parser keeps its state on the
// heap: depth costs no stack. Nothing here throws.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"

namespace naru::formats {

struct JsonLimits {
  int64_t bytes_max = 16ll << 20;
  int64_t depth_max = 64;        // objects and arrays inside each other
  int64_t values_max = 4000000;  // values of every kind; each costs some tens of bytes once parsed
  bool object_root = true;       // refuse a document that is not an object
  bool wide_integers = false;    // integers outside int64 become doubles instead of errors
};

// What walk_json tells of a document, in order. An event returns false to stop; it calls fail() first.
class JsonEvents {
 public:
  virtual ~JsonEvents() = default;
  virtual bool on_null() = 0;
  virtual bool on_bool(bool value) = 0;
  virtual bool on_integer(int64_t value) = 0;
  virtual bool on_double(double value) = 0;
  virtual bool on_string(std::string&& value) = 0;
  virtual bool on_key(std::string&& key) = 0;
  virtual bool on_start_object() = 0;
  virtual bool on_end_object() = 0;
  virtual bool on_start_array() = 0;
  virtual bool on_end_array() = 0;

  const std::optional<Error>& error() const { return error_; }

 protected:
  // Keeps the reason why an event says no; the message lacks only "reading NAME: ", which walk_json puts before it.
  bool fail(Code code, std::string message) {
    error_ = Error{code, std::move(message)};
    return false;
  }

 private:
  std::optional<Error> error_;
};

// Parses `text` without building anything: for documents whose tree would be far larger than what is kept of them.
// Duplicate keys are the consumer's to find. `name` (a file's name) appears in messages only.
Status walk_json(Bytes text, std::string_view name, const JsonLimits& limits, JsonEvents* events);

Result<nlohmann::json> parse_json(Bytes text, std::string_view name, const JsonLimits& limits = {});

// A view of an object inside a parsed document. A key whose value is null counts as absent everywhere. The document
// must outlive the view.
class JsonObject {
 public:
  // `path` is how messages call it ("" for the root, "rope_scaling", "model.vocab").
  static Result<JsonObject> of(const nlohmann::json& value, std::string_view document, std::string path = {});

  const nlohmann::json& value() const { return *value_; }
  const std::string& document() const { return document_; }
  const std::string& path() const { return path_; }

  // The value of a key; nullptr where it is absent or null.
  const nlohmann::json* find(std::string_view key) const;
  bool has(std::string_view key) const { return find(key) != nullptr; }

  // Nothing where absent; an error where the type or range is wrong.
  Result<std::optional<int64_t>> find_int(std::string_view key, int64_t min, int64_t max) const;
  Result<std::optional<double>> find_double(std::string_view key) const;  // integers count
  Result<std::optional<bool>> find_bool(std::string_view key) const;
  Result<std::optional<std::string>> find_string(std::string_view key) const;
  Result<std::optional<JsonObject>> find_object(std::string_view key) const;
  // The elements of an array; empty where absent.
  Result<std::vector<const nlohmann::json*>> find_array(std::string_view key) const;
  // One integer, or an array of them, in [min, max]; empty where absent.
  Result<std::vector<int32_t>> find_ids(std::string_view key, int32_t min, int32_t max) const;

  // The same, and an error where absent.
  Result<int64_t> get_int(std::string_view key, int64_t min, int64_t max) const;
  Result<double> get_double(std::string_view key) const;
  Result<bool> get_bool(std::string_view key) const;
  Result<std::string> get_string(std::string_view key) const;
  Result<JsonObject> get_object(std::string_view key) const;

  // The same, and `fallback` where absent.
  Result<int64_t> get_int_or(std::string_view key, int64_t min, int64_t max, int64_t fallback) const;
  Result<double> get_double_or(std::string_view key, double fallback) const;
  Result<bool> get_bool_or(std::string_view key, bool fallback) const;
  Result<std::string> get_string_or(std::string_view key, std::string fallback) const;

  // "reading DOC: KEY is FOUND, WANTED was wanted; NEXT"
  Error wrong(Code code, std::string_view key, std::string_view found, std::string_view wanted,
              std::string_view next) const;
  Error missing(std::string_view key, std::string_view wanted) const;
  // The way to a key, for messages.
  std::string path_of(std::string_view key) const;

 private:
  JsonObject(const nlohmann::json* value, std::string document, std::string path)
      : value_(value), document_(std::move(document)), path_(std::move(path)) {}
  const nlohmann::json* value_;
  std::string document_;
  std::string path_;
};

// A value as a message shows it: "an array", "the string \"x\"", "12".
std::string json_brief(const nlohmann::json& value);
// The text as a JSON string with its quotes; what is no UTF-8 comes out as U+FFFD.
std::string json_quoted(const std::string& text);

}  // namespace naru::formats
