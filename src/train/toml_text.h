// TOML from outside as a plain tree: the one place that knows toml++ and its exceptions. Depth is bounded before the
// library sees the text, since it builds and frees nested tables by recursion.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace naru::train {

inline constexpr int64_t kTomlDotsMax = 1024;  // dots outside of strings and comments: they nest tables

struct TomlValue {
  enum class Kind : uint8_t { kText, kInteger, kNumber, kTruth, kList, kTable, kOther };
  Kind kind = Kind::kOther;  // kOther: a date or time, or anything deeper than a recipe goes
  std::string text;
  int64_t integer = 0;
  double number = 0;
  bool truth = false;
  std::vector<TomlValue> list;
  std::vector<std::pair<std::string, TomlValue>> table;  // keys ascending
  int64_t line = 0;                                      // of the key, or of an element of a list
};

// A value as a message shows it: "the text \"x\"", "12", "a list of 3".
std::string toml_brief(const TomlValue& value);

// `place` begins messages: "reading recipe a.toml".
Result<TomlValue> parse_toml(std::string_view text, std::string_view place);

}  // namespace naru::train
