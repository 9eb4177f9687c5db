// What a template computes with: Python's values as far as chat templates know them, none of which can change once
// made (namespaces apart), and strings that know which of their bytes came from outside.
//
// A string's content marks survive every operation: joining, slicing, stripping, splitting, replacing. An operation
// that makes one string out of a whole value (tojson, repr) marks all of its result where any part was marked. So text
// from outside can never lose its mark, and may at worst spread it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/result.h"
#include "text/jinja/ast.h"
#include "text/value.h"

namespace naru::text::jinja {

inline constexpr int kDataDepthMax = 100;  // lists and objects inside each other

struct Text {
  struct Mark {
    size_t begin;
    size_t end;
  };
  std::string bytes;        // valid UTF-8
  std::vector<Mark> marks;  // the bytes that came from outside: ascending, apart, not empty

  Text() = default;
  explicit Text(std::string plain) : bytes(std::move(plain)) {}

  void append(std::string_view text, bool is_content);
  void append(const Text& other) { append(other, 0, other.bytes.size()); }
  void append(const Text& other, size_t begin, size_t end);
  Text part(size_t begin, size_t end) const;
  bool has_content() const { return !marks.empty(); }
};

class Val;
struct List;
struct Dict;
struct Namespace;
struct Loop;
struct Bound;

struct Undefined {
  std::shared_ptr<const std::string> what;  // "'x' is undefined"
};
struct None {};
struct MacroRef {
  NodeId node;
};

using TextPtr = std::shared_ptr<const Text>;
using ListPtr = std::shared_ptr<const List>;
using DictPtr = std::shared_ptr<const Dict>;
using WidePtr = std::shared_ptr<const WideNumber>;

class Val {
 public:
  // A wide number can be printed where its digits are what Python prints, and enters no arithmetic.
  using State = std::variant<Undefined, None, bool, int64_t, double, TextPtr, ListPtr, DictPtr, Namespace*,
                             std::shared_ptr<Loop>, MacroRef, std::shared_ptr<const Bound>, WidePtr>;
  Val() : state_(None{}) {}
  template <typename T>
  Val(T value) : state_(std::move(value)) {}                                 // NOLINT: implicit by design
  Val(Text text) : state_(std::make_shared<const Text>(std::move(text))) {}  // NOLINT: implicit by design
  // `what` becomes the message where the value is used; its end is left out where it is long.
  static Val undefined(std::string what) {
    if (what.size() > 200) what.resize(200);
    return Undefined{std::make_shared<const std::string>(std::move(what))};
  }
  static Val plain(std::string text) { return Val(Text(std::move(text))); }

  template <typename T>
  const T* as() const {
    return std::get_if<T>(&state_);
  }
  const Text* text() const { return as<TextPtr>() ? as<TextPtr>()->get() : nullptr; }
  const List* list() const { return as<ListPtr>() ? as<ListPtr>()->get() : nullptr; }
  const Dict* dict() const { return as<DictPtr>() ? as<DictPtr>()->get() : nullptr; }
  const WideNumber* wide() const { return as<WidePtr>() ? as<WidePtr>()->get() : nullptr; }
  bool is_undefined() const { return as<Undefined>() != nullptr; }
  bool is_none() const { return as<None>() != nullptr; }
  // bool counts as a number, as in Python.
  std::optional<int64_t> integer() const;
  std::optional<double> number() const;
  int depth() const;

 private:
  State state_;
};

struct List {
  std::vector<Val> items;
  bool is_tuple = false;
  int depth = 1;
};
struct Dict {
  std::vector<std::pair<TextPtr, Val>> entries;
  int depth = 1;
  TextPtr written;  // the JSON it was read from, which is what it prints as; null for most
  const Val* find(std::string_view key) const;
};
struct Namespace {  // owned by the interpreter
  std::vector<std::pair<std::string, Val>> entries;
};
struct Loop {
  size_t index0 = 0;
  ListPtr items;
  Val changed;
  bool has_changed = false;
};
// A function: a global, or a method of `self`.
struct Bound {
  std::string name;
  Val self;  // undefined for a global
};

// A list or dict one level deeper than its deepest item; an error past kDataDepthMax.
Result<Val> make_list(std::vector<Val> items, bool is_tuple = false);
Result<Val> make_dict(std::vector<std::pair<TextPtr, Val>> entries);

// Data from outside: every string in it, keys too, is content.
Result<Val> from_outside(const Value& value);

// An object from outside that remembers how it was written: a mapping to whoever asks for its fields (none where `json`
// is no JSON object), and exactly those bytes wherever it becomes text: tojson of any style, str(), joined to strings.
// So templates that want an object and those that want a string write the same.
Result<Val> written_object(std::string_view json);

// Python's word for the type, for messages.
std::string_view type_name(const Val& value);

bool is_true(const Val& value);
// Comparing costs `fuel`, since data may hold one part many times over; once it is used up the answer means nothing.
bool are_equal(const Val& a, const Val& b, int64_t& fuel);
// -1, 0, 1; nothing where the two have no order.
std::optional<int> order(const Val& a, const Val& b, int64_t& fuel);

// Python's str() and repr(); an error past `bytes_max`, whose message is for the interpreter to complete.
Result<Text> to_text(const Val& value, size_t bytes_max);
Result<Text> to_repr(const Val& value, size_t bytes_max);
std::string double_repr(double value);

struct JsonStyle {
  bool ascii = false;
  bool sort_keys = false;
  bool any_number = false;        // numbers that no double holds too, as they are written
  std::optional<int64_t> indent;  // spaces a level; line breaks where set
  std::string item_separator = ", ";
  std::string key_separator = ": ";
};
// Python's json.dumps; an error for what JSON cannot say, with such a message.
Result<Text> to_json(const Val& value, const JsonStyle& style, size_t bytes_max);

}  // namespace naru::text::jinja
