// TOML 1.0 from outside as a plain tree. Our own reader, not toml++, whose assertions hostile text reaches: here what
// is read is bounded in depth and in keys, every refusal names its line, and no text can make it stop the program.
// Dates and times are told from other values, not read.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace naru::recipes {

inline constexpr int64_t kTomlDepthMax = 16;  // parts of one key, and values inside each other
inline constexpr int64_t kTomlKeysMax = 256;  // keys of one table

struct TomlValue {
  enum class Kind : uint8_t { kText, kInteger, kNumber, kTruth, kList, kTable, kTime };
  // What made a table decides what may still add to it.
  enum class Made : uint8_t { kPlain, kByPath, kByHeader, kByDots, kInline };
  Kind kind = Kind::kTable;
  Made made = Made::kPlain;
  std::string text;
  int64_t integer = 0;
  double number = 0;
  bool truth = false;
  std::vector<TomlValue> list;
  std::vector<TomlValue> table;  // in the order of the text
  std::string key;               // of an entry of a table
  int64_t line = 0;              // on which it begins
};

// A value as a message shows it: "the text \"x\"", "12", "a list of 3".
std::string toml_brief(const TomlValue& value);

// `place` begins messages: "reading recipe a.toml".
Result<TomlValue> parse_toml(std::string_view text, std::string_view place);

}  // namespace naru::recipes
