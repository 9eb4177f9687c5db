// Filters on one value, and the dispatch of all filters by name.
#include <algorithm>
#include <charconv>
#include <cmath>

#include <fmt/format.h>

#include "text/jinja/interpreter.h"
#include "text/jinja/python_text.h"
#include "text/utf8.h"

namespace naru::text::jinja {

Result<Val> Interpreter::evaluate_filter(const Node& node) {
  Val value;
  if (node.kids[0] == kNoNode) {  // the first filter of a filter block works on the block's text
    if (const Val* text = find_variable("")) value = *text;
  } else {
    NARU_ASSIGN(value, evaluate(node.kids[0]));
  }
  NARU_ASSIGN(const Arguments arguments, evaluate_arguments(node));
  return filter(node.text, value, arguments);
}

Result<Val> Interpreter::filter(std::string_view name, const Val& value, const Arguments& arguments) {
  if (name == "default" || name == "d") {
    const Val* fallback = arguments.find(0, "default_value");
    const Val* boolean = arguments.find(1, "boolean");
    const bool replaces = value.is_undefined() || (boolean && is_true(*boolean) && !is_true(value));
    if (!replaces) return value;
    return fallback ? *fallback : Val::plain("");
  }
  if (name == "tojson") return filter_json(value, arguments);
  if (name == "length" || name == "count") return filter_length(value);
  if (name == "trim") {
    NARU_ASSIGN(const Text text, text_of(value));
    return strip(text, arguments.find(0, "chars"), true, true);
  }
  if (name == "string" || name == "safe") {
    if (value.text()) return value;
    NARU_ASSIGN(Text text, text_of(value));
    return Val(std::move(text));
  }
  if (name == "upper" || name == "lower" || name == "capitalize" || name == "title") {
    NARU_ASSIGN(const Text text, text_of(value));
    return change_case(text, name);
  }
  if (name == "replace") {
    NARU_ASSIGN(const Text text, text_of(value));
    NARU_ASSIGN(const TextPtr from, need_text(arguments, 0, "old"));
    NARU_ASSIGN(const TextPtr to, need_text(arguments, 1, "new"));
    const Val* count = arguments.find(2, "count");
    int64_t n = -1;
    if (count && !count->is_none()) {
      NARU_ASSIGN(n, integer_or(arguments, 2, "count", -1));
    }
    return replace(text, *from, *to, n);
  }
  if (name == "indent") return filter_indent(value, arguments);
  if (value.wide() && (name == "int" || name == "float" || name == "abs" || name == "round")) {
    return error(fmt::format("the filter '{}' of a number of more than 64 bits", name));
  }
  if (name == "int" || name == "float" || name == "abs") return filter_number(name, value, arguments);
  if (name == "round") return filter_round(value, arguments);
  if (name == "escape" || name == "e") {
    NARU_ASSIGN(Text text, text_of(value));
    Val escaped(std::move(text));
    constexpr std::pair<const char*, const char*> kEscapes[] = {
        {"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}, {"'", "&#39;"}, {"\"", "&#34;"}};
    for (const auto& [from, to] : kEscapes) {
      NARU_ASSIGN(escaped, replace(*escaped.text(), Text(from), Text(to), -1));
    }
    return escaped;
  }
  return sequence_filter(name, value, arguments);
}

// Python's json.dumps with ensure_ascii off, as transformers sets it.
Result<Val> Interpreter::filter_json(const Val& value, const Arguments& arguments) {
  JsonStyle style;
  if (const Val* ascii = arguments.find(0, "ensure_ascii")) style.ascii = is_true(*ascii);
  if (const Val* indent = arguments.find(1, "indent"); indent && !indent->is_none()) {
    const auto width = indent->integer();
    if (!width || *width < 0 || *width > 32)
      return error("tojson with an indent that is not 0 to 32", Code::kUnsupported);
    style.indent = *width;
    style.item_separator = ",";
  }
  if (const Val* separators = arguments.find(2, "separators"); separators && !separators->is_none()) {
    const List* pair = separators->list();
    if (!pair || pair->items.size() != 2 || !pair->items[0].text() || !pair->items[1].text()) {
      return error("tojson with separators that are not two strings");
    }
    style.item_separator = pair->items[0].text()->bytes;
    style.key_separator = pair->items[1].text()->bytes;
    if (pair->items[0].text()->has_content() || pair->items[1].text()->has_content()) {
      return error("tojson with separators from a message", Code::kUnsupported);
    }
  }
  if (const Val* sort_keys = arguments.find(3, "sort_keys")) style.sort_keys = is_true(*sort_keys);
  auto text = to_json(value, style, static_cast<size_t>(limits_.output_bytes_max));
  if (!text) return error(text.error().message, text.error().code);
  return made(std::move(text).value());
}

Result<Val> Interpreter::filter_length(const Val& value) {
  if (const List* list = value.list()) return Val(static_cast<int64_t>(list->items.size()));
  if (const Dict* dict = value.dict()) return Val(static_cast<int64_t>(dict->entries.size()));
  if (value.is_undefined()) return Val(int64_t{0});
  const Text* text = value.text();
  if (!text) return error(fmt::format("the length of a value of type {}", type_name(value)));
  NARU_TRY(count_bytes(text->bytes.size()));
  return Val(count_code_points(text->bytes));
}

Result<Val> Interpreter::filter_number(std::string_view name, const Val& value, const Arguments& arguments) {
  const Val* fallback = arguments.find(0, "default");
  if (name == "abs") {
    const auto number = value.number();
    if (!number) return error(fmt::format("abs of a value of type {}", type_name(value)));
    if (const auto i = value.integer()) {
      if (*i == INT64_MIN) return error("a number past 64 bits", Code::kUnsupported);
      return Val(*i < 0 ? -*i : *i);
    }
    return Val(std::fabs(*number));
  }
  const bool wants_int = name == "int";
  const Val otherwise = fallback ? *fallback : wants_int ? Val(int64_t{0}) : Val(0.0);
  std::optional<double> number = value.number();
  if (const auto i = value.integer(); i && wants_int) return Val(*i);
  if (const Text* text = value.text()) {
    NARU_TRY(count_bytes(text->bytes.size()));
    std::string_view rest = text->bytes;
    while (!rest.empty() && is_python_space(static_cast<unsigned char>(rest.front()) & 0x7F)) rest.remove_prefix(1);
    while (!rest.empty() && is_python_space(static_cast<unsigned char>(rest.back()) & 0x7F)) rest.remove_suffix(1);
    if (rest.starts_with('+')) rest.remove_prefix(1);
    int64_t i = 0;
    const char* const end = rest.data() + rest.size();
    if (const auto read = std::from_chars(rest.data(), end, i);
        wants_int && read.ec == std::errc() && read.ptr == end) {
      return Val(i);
    }
    double d = 0;
    if (const auto read = std::from_chars(rest.data(), end, d); read.ec == std::errc() && read.ptr == end) number = d;
  }
  if (!number) return otherwise;
  if (!wants_int) return Val(*number);
  if (!(std::fabs(*number) < 0x1p63)) return otherwise;
  return Val(static_cast<int64_t>(*number));
}

Result<Val> Interpreter::filter_round(const Val& value, const Arguments& arguments) {
  const auto number = value.number();
  if (!number) return error(fmt::format("round of a value of type {}", type_name(value)));
  NARU_ASSIGN(const int64_t precision, integer_or(arguments, 0, "precision", 0));
  if (precision < 0 || precision > 15) return error("round with a precision that is not 0 to 15", Code::kUnsupported);
  std::string method = "common";
  if (arguments.find(1, "method")) {
    NARU_ASSIGN(const TextPtr text, need_text(arguments, 1, "method"));
    method = text->bytes;
  }
  if (method == "common") {
    if (const auto whole = value.integer()) return Val(*whole);
    // The decimal form, correctly rounded with ties to even, is what Python's round() gives.
    return Val(std::strtod(fmt::format("{:.{}f}", *number, precision).c_str(), nullptr));
  }
  const double scale = std::pow(10.0, static_cast<double>(precision));
  if (method == "ceil") return Val(std::ceil(*number * scale) / scale);
  if (method == "floor") return Val(std::floor(*number * scale) / scale);
  return error("round with an unknown method");
}

// Every line but the first (with `first` that too) moved to the right; empty lines stay empty unless `blank`.
Result<Val> Interpreter::filter_indent(const Val& value, const Arguments& arguments) {
  NARU_ASSIGN(const Text text, text_of(value));
  Text margin;
  const Val* width = arguments.find(0, "width");
  if (width && width->text()) {
    margin = *width->text();
  } else {
    NARU_ASSIGN(const int64_t spaces, integer_or(arguments, 0, "width", 4));
    NARU_TRY(count_bytes(static_cast<size_t>(std::max<int64_t>(spaces, 0))));
    margin = Text(std::string(static_cast<size_t>(std::max<int64_t>(spaces, 0)), ' '));
  }
  const Val* first = arguments.find(1, "first");
  const Val* blank = arguments.find(2, "blank");
  NARU_ASSIGN(const Val lines, split_lines(text));
  const std::vector<Val>& items = lines.list()->items;
  // Jinja adds a line end before it splits, so a text that ends a line keeps a last, empty line.
  const bool ends_line = text.bytes.empty() || text.bytes.ends_with('\n') || text.bytes.ends_with('\r');
  Text out;
  for (size_t i = 0; i < items.size(); ++i) {
    const Text& line = *items[i].text();
    if (i > 0) out.append("\n", false);
    const bool moves = i == 0 ? first && is_true(*first) : !line.bytes.empty() || (blank && is_true(*blank));
    if (moves) out.append(margin);
    out.append(line);
    NARU_TRY(count_bytes(out.bytes.size()));
  }
  if (ends_line && !items.empty()) out.append("\n", false);
  return made(std::move(out));
}

}  // namespace naru::text::jinja
