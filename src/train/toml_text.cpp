#include "train/toml_text.h"

#include <fmt/format.h>

#include <toml++/toml.h>
#include <exception>
#include <new>

#include "formats/utf8.h"

namespace naru::train {
namespace {

constexpr int kDepthMax = 4;  // a recipe is a table of lists of tables of lists

// The end of the string that begins at `at` with a quotation mark, as TOML's grammar has it; where it has none the
// parser stops there as well.
size_t end_of_string(std::string_view text, size_t at) {
  const char quote = text[at];
  const bool has_escapes = quote == '"';
  const bool is_long = at + 2 < text.size() && text[at + 1] == quote && text[at + 2] == quote;
  size_t i = at + (is_long ? 3 : 1);
  for (; i < text.size(); ++i) {
    if (has_escapes && text[i] == '\\') {
      ++i;
    } else if (!is_long && (text[i] == quote || text[i] == '\n')) {
      return i + 1;
    } else if (is_long && text.substr(i, 3) == std::string_view(text.substr(at, 3))) {
      i += 3;
      while (i < text.size() && text[i] == quote) ++i;  // up to two more marks belong to the string
      return i;
    }
  }
  return i;
}

// Dots outside of strings and comments, which is at least the depth that dotted keys can reach.
int64_t count_dots(std::string_view text) {
  int64_t dots = 0;
  for (size_t i = 0; i < text.size();) {
    const char c = text[i];
    if (c == '"' || c == '\'') {
      i = end_of_string(text, i);
    } else if (c == '#') {
      i = std::min(text.find('\n', i), text.size());
    } else {
      dots += c == '.' ? 1 : 0;
      ++i;
    }
  }
  return dots;
}

TomlValue value_of(const toml::node& node, int64_t line, int depth) {
  TomlValue value;
  value.line = line;
  if (const auto* text = node.as_string()) {
    value.kind = TomlValue::Kind::kText;
    value.text = text->get();
  } else if (const auto* integer = node.as_integer()) {
    value.kind = TomlValue::Kind::kInteger;
    value.integer = integer->get();
  } else if (const auto* number = node.as_floating_point()) {
    value.kind = TomlValue::Kind::kNumber;
    value.number = number->get();
  } else if (const auto* truth = node.as_boolean()) {
    value.kind = TomlValue::Kind::kTruth;
    value.truth = truth->get();
  } else if (const auto* list = node.as_array(); list != nullptr && depth < kDepthMax) {
    value.kind = TomlValue::Kind::kList;
    value.list.reserve(list->size());
    for (const toml::node& element : *list) {
      value.list.push_back(value_of(element, static_cast<int64_t>(element.source().begin.line), depth + 1));
    }
  } else if (const auto* table = node.as_table(); table != nullptr && depth < kDepthMax) {
    value.kind = TomlValue::Kind::kTable;
    for (const auto& [key, inner] : *table) {
      value.table.emplace_back(std::string(key.str()),
                               value_of(inner, static_cast<int64_t>(key.source().begin.line), depth + 1));
    }
  }
  return value;
}

}  // namespace

std::string toml_brief(const TomlValue& value) {
  switch (value.kind) {
    case TomlValue::Kind::kText: return fmt::format("the text \"{}\"", formats::printable(value.text, 60));
    case TomlValue::Kind::kInteger: return fmt::format("{}", value.integer);
    case TomlValue::Kind::kNumber: return fmt::format("{}", value.number);
    case TomlValue::Kind::kTruth: return value.truth ? "true" : "false";
    case TomlValue::Kind::kList: return fmt::format("a list of {}", value.list.size());
    case TomlValue::Kind::kTable: return "a table";
    case TomlValue::Kind::kOther: break;
  }
  return "a date, a time or something nested";
}

Result<TomlValue> parse_toml(std::string_view text, std::string_view place) {
  if (const int64_t valid = formats::utf8_valid_prefix(text); valid != static_cast<int64_t>(text.size())) {
    return Error{Code::kInvalidArgument,
                 fmt::format("{}: byte {} is no UTF-8, a text file was wanted; save it as UTF-8", place, valid)};
  }
  if (const int64_t dots = count_dots(text); dots > kTomlDotsMax) {
    return Error{Code::kInvalidArgument, fmt::format("{}: {} dots stand outside of texts, at most {} were wanted; is "
                                                     "it the right file?",
                                                     place, dots, kTomlDotsMax)};
  }
  try {
    const toml::table table = toml::parse(text);
    return value_of(table, 1, 0);
  } catch (const toml::parse_error& problem) {
    return Error{Code::kInvalidArgument,
                 fmt::format("{}: line {}, column {}: {}; correct the line (https://toml.io explains the syntax)",
                             place, problem.source().begin.line, problem.source().begin.column,
                             formats::printable(problem.description(), 300))};
  } catch (const std::bad_alloc&) {
    return Error{Code::kResourceExhausted, fmt::format("{}: the system gave no more memory; free some", place)};
  } catch (const std::exception& problem) {
    return Error{Code::kInternal, fmt::format("{}: the TOML reader stopped with: {}; please report this with the file",
                                              place, formats::printable(problem.what(), 300))};
  }
}

}  // namespace naru::train
