// Building, comparing and printing values; see data.h. Recursion is as deep as the data, which is limited.
#include "text/jinja/data.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include <fmt/format.h>

#include "formats/utf8.h"
#include "text/unicode.h"
#include "text/utf8.h"

namespace naru::text::jinja {
namespace {

Error too_deep() {
  return {Code::kResourceExhausted,
          fmt::format("rendering the chat template: data with more than {} levels of lists and objects; send flatter "
                      "messages or tools",
                      kDataDepthMax)};
}

Text content_text(std::string_view bytes) {
  Text text;
  text.append(is_valid_utf8(bytes) ? bytes : std::string_view(repair_utf8(bytes)), true);
  return text;
}

Result<Val> convert(const Value& value, int depth) {
  if (depth > kDataDepthMax) return too_deep();
  if (value.as_bool()) return Val(*value.as_bool());
  if (value.as_int()) return Val(*value.as_int());
  if (value.as_double()) return Val(*value.as_double());
  if (value.as_wide()) return Val(std::make_shared<const WideNumber>(*value.as_wide()));
  if (value.as_string()) return Val(content_text(*value.as_string()));
  if (const Value::List* list = value.as_list()) {
    std::vector<Val> items;
    items.reserve(list->size());
    for (const Value& item : *list) {
      NARU_ASSIGN(Val converted, convert(item, depth + 1));
      items.push_back(std::move(converted));
    }
    return make_list(std::move(items));
  }
  if (const Value::Object* object = value.as_object()) {
    std::vector<std::pair<TextPtr, Val>> entries;
    entries.reserve(object->size());
    for (const auto& [key, item] : *object) {
      NARU_ASSIGN(Val converted, convert(item, depth + 1));
      entries.emplace_back(std::make_shared<const Text>(content_text(key)), std::move(converted));
    }
    return make_dict(std::move(entries));
  }
  return Val();
}

// Python's repr of a string, without marks.
std::string quote(std::string_view text) {
  const bool has_single = text.find('\'') != std::string_view::npos;
  const char mark = has_single && text.find('"') == std::string_view::npos ? '"' : '\'';
  std::string out(1, mark);
  const char* p = text.data();
  const char* const end = p + text.size();
  while (p < end) {
    const CodePoint c = code_point_at(p);
    if (c.value == static_cast<uint32_t>(mark) || c.value == '\\') {
      out.push_back('\\');
      out.push_back(static_cast<char>(c.value));
    } else if (c.value == '\n') {
      out += "\\n";
    } else if (c.value == '\r') {
      out += "\\r";
    } else if (c.value == '\t') {
      out += "\\t";
    } else if (c.value < 0x20 || c.value == 0x7F) {
      out += fmt::format("\\x{:02x}", c.value);
    } else if (c.value < 0x7F || (char_flags(c.value) & (kLetter | kMark | kNumber | kPunctuation | kSymbol))) {
      out.append(p, c.bytes);
    } else if (c.value <= 0xFF) {
      out += fmt::format("\\x{:02x}", c.value);
    } else if (c.value <= 0xFFFF) {
      out += fmt::format("\\u{:04x}", c.value);
    } else {
      out += fmt::format("\\U{:08x}", c.value);
    }
    p += c.bytes;
  }
  out.push_back(mark);
  return out;
}

struct Printed {
  size_t bytes_max;
  std::string text = {};
  bool is_content = false;
  std::string unprintable = {};  // a wide number that Python would have rounded to infinity

  void print(const WideNumber& number, bool any_number = false) {
    if (number.is_integer() || any_number) {
      text += number.text;
    } else {
      unprintable = number.text;
    }
  }
  // Data can hold one string many times over, so printing stops by itself once past the limit.
  bool is_full() const { return text.size() > bytes_max; }
};

Result<Text> finish(const Printed& printed) {
  if (!printed.unprintable.empty()) {
    return Error{Code::kInvalidArgument,
                 fmt::format("the number {}, which no double holds", formats::printable(printed.unprintable, 40))};
  }
  if (printed.is_full()) {
    return Error{Code::kResourceExhausted, fmt::format("a string of more than {} bytes", printed.bytes_max)};
  }
  Text text;
  text.append(printed.text, printed.is_content);
  return text;
}

void print_repr(const Val& value, Printed& out) {
  if (out.is_full()) return;
  if (const Text* text = value.text()) {
    out.text += quote(text->bytes);
    out.is_content |= text->has_content();
  } else if (const List* list = value.list()) {
    out.text += list->is_tuple ? "(" : "[";
    for (size_t i = 0; i < list->items.size(); ++i) {
      if (i > 0) out.text += ", ";
      print_repr(list->items[i], out);
    }
    if (list->is_tuple && list->items.size() == 1) out.text += ",";
    out.text += list->is_tuple ? ")" : "]";
  } else if (const Dict* dict = value.dict()) {
    out.text += "{";
    for (size_t i = 0; i < dict->entries.size(); ++i) {
      if (i > 0) out.text += ", ";
      out.text += quote(dict->entries[i].first->bytes) + ": ";
      out.is_content |= dict->entries[i].first->has_content();
      print_repr(dict->entries[i].second, out);
    }
    out.text += "}";
  } else if (value.is_undefined()) {
    out.text += "Undefined";
  } else if (value.is_none()) {
    out.text += "None";
  } else if (const bool* b = value.as<bool>()) {
    out.text += *b ? "True" : "False";
  } else if (const int64_t* i = value.as<int64_t>()) {
    out.text += std::to_string(*i);
  } else if (const double* d = value.as<double>()) {
    out.text += double_repr(*d);
  } else if (value.wide()) {
    out.print(*value.wide());
  } else {
    out.text += fmt::format("<{}>", type_name(value));
  }
}

void json_quote(std::string_view text, bool ascii, std::string& out) {
  out.push_back('"');
  const char* p = text.data();
  const char* const end = p + text.size();
  while (p < end) {
    const CodePoint c = code_point_at(p);
    switch (c.value) {
      case '"': out += "\\\""; break;
      case '\\': out += "\\\\"; break;
      case '\n': out += "\\n"; break;
      case '\r': out += "\\r"; break;
      case '\t': out += "\\t"; break;
      case '\f': out += "\\f"; break;
      case '\b': out += "\\b"; break;
      default:
        if (c.value < 0x20 || (ascii && c.value > 0x7E && c.value <= 0xFFFF)) {
          out += fmt::format("\\u{:04x}", c.value);
        } else if (ascii && c.value > 0xFFFF) {
          const uint32_t rest = c.value - 0x10000;
          out += fmt::format("\\u{:04x}\\u{:04x}", 0xD800 + (rest >> 10), 0xDC00 + (rest & 0x3FF));
        } else {
          out.append(p, c.bytes);
        }
    }
    p += c.bytes;
  }
  out.push_back('"');
}

class JsonPrinter {
 public:
  JsonPrinter(const JsonStyle& style, size_t bytes_max) : out{bytes_max}, style_(style) {}

  Status print(const Val& value, int level) {
    if (out.is_full()) return {};
    if (const Text* text = value.text()) {
      json_quote(text->bytes, style_.ascii, out.text);
      out.is_content |= text->has_content();
    } else if (const List* list = value.list()) {
      return print_list(*list, level);
    } else if (const Dict* dict = value.dict()) {
      return print_dict(*dict, level);
    } else if (value.is_none()) {
      out.text += "null";
    } else if (const bool* b = value.as<bool>()) {
      out.text += *b ? "true" : "false";
    } else if (const int64_t* i = value.as<int64_t>()) {
      out.text += std::to_string(*i);
    } else if (const double* d = value.as<double>()) {
      out.text += std::isnan(*d) ? "NaN" : std::isinf(*d) ? (*d > 0 ? "Infinity" : "-Infinity") : double_repr(*d);
    } else if (value.wide()) {
      out.print(*value.wide(), style_.any_number);
    } else {
      return Error{Code::kInvalidArgument, fmt::format("tojson of a value of type {}", type_name(value))};
    }
    return {};
  }

  Printed out;

 private:
  void new_line(int level) {
    if (!style_.indent) return;
    out.text.push_back('\n');
    out.text.append(static_cast<size_t>(*style_.indent * level), ' ');
  }

  Status print_list(const List& list, int level) {
    out.text.push_back('[');
    for (size_t i = 0; i < list.items.size(); ++i) {
      if (i > 0) out.text += style_.item_separator;
      new_line(level + 1);
      NARU_TRY(print(list.items[i], level + 1));
    }
    if (!list.items.empty()) new_line(level);
    out.text.push_back(']');
    return {};
  }

  Status print_dict(const Dict& dict, int level) {
    if (dict.written) {
      out.text += dict.written->bytes;
      out.is_content |= dict.written->has_content();
      return {};
    }
    std::vector<const std::pair<TextPtr, Val>*> entries;
    for (const auto& entry : dict.entries) entries.push_back(&entry);
    if (style_.sort_keys) {
      std::stable_sort(entries.begin(), entries.end(),
                       [](const auto* a, const auto* b) { return a->first->bytes < b->first->bytes; });
    }
    out.text.push_back('{');
    for (size_t i = 0; i < entries.size(); ++i) {
      if (i > 0) out.text += style_.item_separator;
      new_line(level + 1);
      json_quote(entries[i]->first->bytes, style_.ascii, out.text);
      out.is_content |= entries[i]->first->has_content();
      out.text += style_.key_separator;
      NARU_TRY(print(entries[i]->second, level + 1));
    }
    if (!entries.empty()) new_line(level);
    out.text.push_back('}');
    return {};
  }

  const JsonStyle& style_;
};

}  // namespace

void Text::append(std::string_view text, bool is_content) {
  if (text.empty()) return;
  const size_t begin = bytes.size();
  bytes += text;
  if (!is_content) return;
  if (!marks.empty() && marks.back().end == begin) {
    marks.back().end = bytes.size();
  } else {
    marks.push_back({begin, bytes.size()});
  }
}

void Text::append(const Text& other, size_t begin, size_t end) {
  const size_t shift = bytes.size();
  bytes.append(other.bytes, begin, end - begin);
  for (const Mark& mark : other.marks) {
    const size_t from = std::max(mark.begin, begin), to = std::min(mark.end, end);
    if (from >= to) continue;
    const size_t new_begin = shift + from - begin, new_end = shift + to - begin;
    if (!marks.empty() && marks.back().end == new_begin) {
      marks.back().end = new_end;
    } else {
      marks.push_back({new_begin, new_end});
    }
  }
}

Text Text::part(size_t begin, size_t end) const {
  Text out;
  out.append(*this, begin, end);
  return out;
}

std::optional<int64_t> Val::integer() const {
  if (const bool* b = as<bool>()) return *b ? 1 : 0;
  if (const int64_t* i = as<int64_t>()) return *i;
  return std::nullopt;
}

std::optional<double> Val::number() const {
  if (const auto i = integer()) return static_cast<double>(*i);
  if (const double* d = as<double>()) return *d;
  return std::nullopt;
}

int Val::depth() const {
  if (const List* l = list()) return l->depth;
  if (const Dict* d = dict()) return d->depth;
  return 0;
}

const Val* Dict::find(std::string_view key) const {
  for (const auto& [name, value] : entries) {
    if (name->bytes == key) return &value;
  }
  return nullptr;
}

Result<Val> make_list(std::vector<Val> items, bool is_tuple) {
  List list;
  for (const Val& item : items) list.depth = std::max(list.depth, item.depth() + 1);
  if (list.depth > kDataDepthMax) return too_deep();
  list.items = std::move(items);
  list.is_tuple = is_tuple;
  return Val(ListPtr(std::make_shared<const List>(std::move(list))));
}

Result<Val> make_dict(std::vector<std::pair<TextPtr, Val>> entries) {
  Dict dict;
  for (const auto& [key, item] : entries) dict.depth = std::max(dict.depth, item.depth() + 1);
  if (dict.depth > kDataDepthMax) return too_deep();
  dict.entries = std::move(entries);
  return Val(DictPtr(std::make_shared<const Dict>(std::move(dict))));
}

Result<Val> from_outside(const Value& value) {
  return convert(value, 0);
}

Result<Val> written_object(std::string_view json) {
  const Result<Value> parsed = parse_value(json, "an object");
  NARU_ASSIGN(const Val fields, from_outside(parsed.ok() && parsed->as_object() ? *parsed : Value(Value::Object())));
  Dict dict = *fields.dict();
  dict.written = std::make_shared<const Text>(content_text(json));
  return Val(DictPtr(std::make_shared<const Dict>(std::move(dict))));
}

std::string_view type_name(const Val& value) {
  constexpr std::string_view kNames[] = {"undefined", "NoneType", "bool",      "int",  "float", "str",
                                         "list",      "dict",     "namespace", "loop", "macro", "function"};
  if (value.wide()) return value.wide()->is_integer() ? "int" : "float";
  size_t i = 0;
  (void)((value.as<Undefined>() || (++i, value.as<None>()) || (++i, value.as<bool>()) || (++i, value.as<int64_t>()) ||
          (++i, value.as<double>()) || (++i, value.as<TextPtr>()) || (++i, value.as<ListPtr>()) ||
          (++i, value.as<DictPtr>()) || (++i, value.as<Namespace*>()) || (++i, value.as<std::shared_ptr<Loop>>()) ||
          (++i, value.as<MacroRef>()) || (++i, true)));
  return kNames[i];
}

bool is_true(const Val& value) {
  if (value.is_undefined() || value.is_none()) return false;
  if (const auto number = value.number()) return *number != 0;
  if (const Text* text = value.text()) return !text->bytes.empty();
  if (const List* list = value.list()) return !list->items.empty();
  if (const Dict* dict = value.dict()) return !dict->entries.empty();
  return true;
}

bool are_equal(const Val& a, const Val& b, int64_t& fuel) {
  if (--fuel <= 0) return false;
  if (const auto x = a.integer(), y = b.integer(); x && y) return *x == *y;
  if (const auto x = a.number(), y = b.number(); x && y) return *x == *y;
  if (a.wide() && b.wide()) return a.wide()->text == b.wide()->text;
  if (a.text() && b.text()) return a.text()->bytes == b.text()->bytes;
  if (a.is_none() || b.is_none()) return a.is_none() && b.is_none();
  if (a.is_undefined() || b.is_undefined()) return a.is_undefined() && b.is_undefined();
  if (const List* x = a.list(), *y = b.list(); x && y) {
    return x == y || (x->is_tuple == y->is_tuple &&
                      std::equal(x->items.begin(), x->items.end(), y->items.begin(), y->items.end(),
                                 [&fuel](const Val& i, const Val& j) { return are_equal(i, j, fuel); }));
  }
  if (const Dict* x = a.dict(), *y = b.dict(); x && y) {
    if (x == y) return true;
    if (x->entries.size() != y->entries.size()) return false;
    return std::all_of(x->entries.begin(), x->entries.end(), [y, &fuel](const auto& entry) {
      fuel -= static_cast<int64_t>(y->entries.size());
      const Val* other = fuel > 0 ? y->find(entry.first->bytes) : nullptr;
      return other && are_equal(entry.second, *other, fuel);
    });
  }
  if (a.as<Namespace*>() && b.as<Namespace*>()) return *a.as<Namespace*>() == *b.as<Namespace*>();
  return false;
}

std::optional<int> order(const Val& a, const Val& b, int64_t& fuel) {
  const auto sign = [](const auto& x, const auto& y) { return x < y ? -1 : y < x ? 1 : 0; };
  if (--fuel <= 0) return 0;
  if (const auto x = a.integer(), y = b.integer(); x && y) return sign(*x, *y);
  if (const auto x = a.number(), y = b.number(); x && y) return sign(*x, *y);
  if (a.text() && b.text()) return sign(a.text()->bytes, b.text()->bytes);  // UTF-8 orders as code points do
  const List *x = a.list(), *y = b.list();
  if (!x || !y || x->is_tuple != y->is_tuple) return std::nullopt;
  for (size_t i = 0; i < std::min(x->items.size(), y->items.size()); ++i) {
    if (are_equal(x->items[i], y->items[i], fuel)) continue;
    return order(x->items[i], y->items[i], fuel);
  }
  return sign(x->items.size(), y->items.size());
}

Result<Text> to_text(const Val& value, size_t bytes_max) {
  if (value.is_undefined()) return Text();
  if (const Text* text = value.text()) return *text;
  if (value.dict() && value.dict()->written) return *value.dict()->written;
  return to_repr(value, bytes_max);
}

Result<Text> to_repr(const Val& value, size_t bytes_max) {
  Printed out{bytes_max};
  print_repr(value, out);
  return finish(out);
}

// The shortest digits that read back as the same number; an exponent below 1e-4 and from 1e16 on.
std::string double_repr(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  char buffer[40];
  char* const end = std::to_chars(buffer, buffer + sizeof(buffer) - 1, value, std::chars_format::scientific).ptr;
  *end = '\0';
  const std::string_view scientific(buffer, static_cast<size_t>(end - buffer));
  const size_t e = scientific.find('e');
  const int exponent = std::atoi(scientific.data() + e + 1);
  if (value != 0 && (exponent < -4 || exponent >= 16)) {
    // Python writes at least two digits of exponent, as to_chars does.
    return std::string(scientific);
  }
  const auto fixed_end = std::to_chars(buffer, buffer + sizeof(buffer), value, std::chars_format::fixed).ptr;
  std::string fixed(buffer, fixed_end);
  if (fixed.find('.') == std::string::npos) fixed += ".0";
  return fixed;
}

Result<Text> to_json(const Val& value, const JsonStyle& style, size_t bytes_max) {
  JsonPrinter printer(style, bytes_max);
  NARU_TRY(printer.print(value, 0));
  return finish(printer.out);
}

}  // namespace naru::text::jinja
