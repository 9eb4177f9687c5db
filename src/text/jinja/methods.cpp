// Methods of strings, lists and dicts, as Python has them. What would change a value is refused.
#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "text/jinja/interpreter.h"
#include "text/jinja/python_text.h"
#include "text/unicode.h"
#include "text/utf8.h"

namespace naru::text::jinja {
namespace {

constexpr std::array<std::string_view, 29> kTextMethods = {
    "strip",     "lstrip",     "rstrip",  "split",        "rsplit",      "splitlines", "startswith", "endswith",
    "replace",   "upper",      "lower",   "title",        "capitalize",  "join",       "find",       "rfind",
    "index",     "count",      "isdigit", "isalpha",      "isalnum",     "isspace",    "isupper",    "islower",
    "partition", "rpartition", "format",  "removeprefix", "removesuffix"};
constexpr std::array<std::string_view, 10> kListMethods = {"index", "count",  "append",  "extend", "insert",
                                                           "pop",   "remove", "reverse", "sort",   "clear"};

// The code points of a string, for strip's set of characters.
std::vector<uint32_t> code_points(std::string_view text) {
  std::vector<uint32_t> out;
  for (size_t at = 0; at < text.size();) {
    const CodePoint c = code_point_at(text.data() + at);
    out.push_back(c.value);
    at += c.bytes;
  }
  std::sort(out.begin(), out.end());
  return out;
}

// Python's isdigit and the like: every character has the property, and there is one.
template <typename Property>
bool all_characters(std::string_view text, const Property& property) {
  for (size_t at = 0; at < text.size();) {
    const CodePoint c = code_point_at(text.data() + at);
    if (!property(c.value)) return false;
    at += c.bytes;
  }
  return !text.empty();
}

}  // namespace

bool is_text_method(std::string_view name) {
  return std::find(kTextMethods.begin(), kTextMethods.end(), name) != kTextMethods.end();
}
bool is_list_method(std::string_view name) {
  return std::find(kListMethods.begin(), kListMethods.end(), name) != kListMethods.end();
}

Result<Val> Interpreter::strip(const Text& text, const Val* characters, bool left, bool right) {
  std::vector<uint32_t> set;
  const bool blank = !characters || characters->is_none();
  if (!blank) {
    if (!characters->text()) return error("strip takes a string");
    NARU_TRY(count_bytes(characters->text()->bytes.size()));
    set = code_points(characters->text()->bytes);
  }
  const auto goes = [&](uint32_t c) {
    return blank ? is_python_space(c) : std::binary_search(set.begin(), set.end(), c);
  };
  const char* begin = text.bytes.data();
  const char* end = begin + text.bytes.size();
  while (left && begin < end) {
    const CodePoint c = code_point_at(begin);
    if (!goes(c.value)) break;
    begin += c.bytes;
  }
  while (right && begin < end) {
    const CodePoint c = code_point_before(begin, end);
    if (!goes(c.value)) break;
    end -= c.bytes;
  }
  return made(text.part(static_cast<size_t>(begin - text.bytes.data()), static_cast<size_t>(end - text.bytes.data())));
}

Result<Val> Interpreter::split(const Text& text, const Val* separator, int64_t splits_max, bool from_right) {
  if (!separator || separator->is_none()) {
    if (from_right && splits_max >= 0) return error("rsplit at white space with a limit", Code::kUnsupported);
    return split_blank(text, splits_max);
  }
  if (!separator->text()) return error("split takes a string");
  const std::string& mark = separator->text()->bytes;
  if (mark.empty()) return error("split at an empty string");
  std::vector<Val> parts;
  const std::string& bytes = text.bytes;
  NARU_TRY(count_bytes(bytes.size()));
  size_t begin = 0, end = bytes.size();
  const auto more = [&] { return splits_max < 0 || static_cast<int64_t>(parts.size()) < splits_max; };
  const auto take = [&](size_t from, size_t to) -> Status {
    NARU_TRY(step(static_cast<int64_t>(1 + text.marks.size() / 8)));
    parts.push_back(Val(text.part(from, to)));
    return {};
  };
  if (!from_right) {
    for (size_t at = find_text(bytes, mark); at != std::string::npos && more(); at = find_text(bytes, mark, begin)) {
      NARU_TRY(take(begin, at));
      begin = at + mark.size();
    }
    NARU_TRY(take(begin, end));
    return made_list(std::move(parts));
  }
  // From the right: the places where the reversed mark is found in the reversed text.
  const std::string reversed(bytes.rbegin(), bytes.rend()), reversed_mark(mark.rbegin(), mark.rend());
  for (size_t from = 0; more(); from += mark.size()) {
    from = find_text(reversed, reversed_mark, from);
    if (from == std::string::npos) break;
    const size_t mark_end = bytes.size() - from;
    NARU_TRY(take(mark_end, end));
    end = mark_end - mark.size();
  }
  NARU_TRY(take(0, end));
  std::reverse(parts.begin(), parts.end());
  return made_list(std::move(parts));
}

Result<Val> Interpreter::split_blank(const Text& text, int64_t splits_max) {
  std::vector<Val> parts;
  NARU_TRY(count_bytes(text.bytes.size()));
  const char* const base = text.bytes.data();
  const char* const end = base + text.bytes.size();
  const auto skip = [&](const char* p, bool blank) {
    while (p < end && is_python_space(code_point_at(p).value) == blank) p += code_point_at(p).bytes;
    return p;
  };
  for (const char* p = skip(base, true); p < end; p = skip(p, true)) {
    NARU_TRY(step(static_cast<int64_t>(1 + text.marks.size() / 8)));
    const char* word_end = skip(p, false);
    if (splits_max >= 0 && static_cast<int64_t>(parts.size()) >= splits_max) {  // the rest, without blanks at its end
      word_end = end;
      while (is_python_space(code_point_before(p, word_end).value)) word_end -= code_point_before(p, word_end).bytes;
      parts.push_back(Val(text.part(static_cast<size_t>(p - base), static_cast<size_t>(word_end - base))));
      break;
    }
    parts.push_back(Val(text.part(static_cast<size_t>(p - base), static_cast<size_t>(word_end - base))));
    p = word_end;
  }
  return made_list(std::move(parts));
}

Result<Val> Interpreter::split_lines(const Text& text) {
  std::vector<Val> parts;
  NARU_TRY(count_bytes(text.bytes.size()));
  const std::string& bytes = text.bytes;
  size_t begin = 0;
  for (size_t at = 0; at < bytes.size();) {
    const CodePoint c = code_point_at(bytes.data() + at);
    const bool ends = (c.value >= 0x0A && c.value <= 0x0D) || (c.value >= 0x1C && c.value <= 0x1E) || c.value == 0x85 ||
                      c.value == 0x2028 || c.value == 0x2029;
    const size_t line_end = at;
    at += c.bytes;
    if (!ends) continue;
    if (c.value == '\r' && at < bytes.size() && bytes[at] == '\n') ++at;
    NARU_TRY(step(static_cast<int64_t>(1 + text.marks.size() / 8)));
    parts.push_back(Val(text.part(begin, line_end)));
    begin = at;
  }
  if (begin < bytes.size()) parts.push_back(Val(text.part(begin, bytes.size())));
  return made_list(std::move(parts));
}

Result<Val> Interpreter::replace(const Text& text, const Text& from, const Text& to, int64_t count) {
  NARU_TRY(count_bytes(text.bytes.size()));
  Text out;
  size_t begin = 0;
  const std::string& bytes = text.bytes;
  const auto put_one = [&](size_t end) -> Status {
    NARU_TRY(step(static_cast<int64_t>(1 + text.marks.size() / 8)));
    out.append(text, begin, end);
    out.append(to);
    if (out.bytes.size() > static_cast<size_t>(limits_.output_bytes_max)) return count_bytes(out.bytes.size());
    return {};
  };
  if (from.bytes.empty()) {  // before every character, and at the end
    for (size_t at = 0; at <= bytes.size() && count != 0; --count) {
      NARU_TRY(put_one(at));
      begin = at;
      at += at < bytes.size() ? code_point_at(bytes.data() + at).bytes : 1;
    }
  } else {
    for (size_t at = find_text(bytes, from.bytes); at != std::string::npos && count != 0; --count) {
      NARU_TRY(put_one(at));
      begin = at + from.bytes.size();
      at = find_text(bytes, from.bytes, begin);
    }
  }
  out.append(text, begin, bytes.size());
  return made(std::move(out));
}

// upper, lower, capitalize, title. Letters beyond ASCII that would change are refused: their tables are not here.
Result<Val> Interpreter::change_case(const Text& text, std::string_view how) {
  NARU_TRY(count_bytes(text.bytes.size()));
  Text out = text;
  bool after_cased = false;
  for (size_t at = 0; at < out.bytes.size();) {
    const CodePoint c = code_point_at(out.bytes.data() + at);
    const bool upper = how == "upper" || (how == "capitalize" && at == 0) || (how == "title" && !after_cased);
    const uint16_t flags = char_flags(c.value);
    if (c.value < 0x80) {
      char& byte = out.bytes[at];
      if (upper && byte >= 'a' && byte <= 'z') byte = static_cast<char>(byte - 'a' + 'A');
      if (!upper && byte >= 'A' && byte <= 'Z') byte = static_cast<char>(byte - 'A' + 'a');
    } else if (flags & (upper ? kLower : kUpper)) {
      return error(fmt::format("'{}' of letters beyond ASCII", how), Code::kUnsupported);
    }
    after_cased = (flags & (kUpper | kLower)) != 0;
    at += c.bytes;
  }
  return Val(std::move(out));
}

Result<Val> Interpreter::affix_test(const Text& text, const Arguments& arguments, bool at_start) {
  if (arguments.items.size() != 1) return error("startswith and endswith take one argument here", Code::kUnsupported);
  std::vector<Val> wanted = {arguments.items[0]};
  if (const List* list = wanted[0].list()) {
    const std::vector<Val> items = list->items;
    wanted = items;
  }
  for (const Val& affix : wanted) {
    if (const auto* undefined = affix.as<Undefined>()) return error(*undefined->what);
    if (!affix.text()) return error("startswith and endswith take a string");
    NARU_TRY(step(1 + static_cast<int64_t>(affix.text()->bytes.size() / 64)));
    if (at_start ? text.bytes.starts_with(affix.text()->bytes) : text.bytes.ends_with(affix.text()->bytes)) {
      return Val(true);
    }
  }
  return Val(false);
}

// find, rfind, index, count; places are counted in characters.
Result<Val> Interpreter::find_in(const Text& text, std::string_view name, const Arguments& arguments) {
  NARU_ASSIGN(const TextPtr wanted, need_text(arguments, 0, "sub"));
  if (arguments.items.size() > 1) return error(fmt::format("'{}' with a start", name), Code::kUnsupported);
  NARU_TRY(count_bytes(text.bytes.size()));
  if (name == "count") {
    if (wanted->bytes.empty()) return Val(count_code_points(text.bytes) + 1);
    int64_t n = 0;
    for (size_t at = find_text(text.bytes, wanted->bytes); at != std::string::npos; ++n) {
      at = find_text(text.bytes, wanted->bytes, at + wanted->bytes.size());
    }
    return Val(n);
  }
  const size_t at = name == "rfind" ? rfind_text(text.bytes, wanted->bytes) : find_text(text.bytes, wanted->bytes);
  if (at == std::string::npos) {
    if (name == "index") return error("index: the string is not there");
    return Val(int64_t{-1});
  }
  return Val(count_code_points(std::string_view(text.bytes).substr(0, at)));
}

Result<Val> Interpreter::partition(const Text& text, const Arguments& arguments, bool from_right) {
  NARU_ASSIGN(const TextPtr mark, need_text(arguments, 0, "sep"));
  if (mark->bytes.empty()) return error("partition at an empty string");
  NARU_TRY(count_bytes(text.bytes.size()));
  const size_t at = from_right ? rfind_text(text.bytes, mark->bytes) : find_text(text.bytes, mark->bytes);
  if (at == std::string::npos) {
    if (from_right) return made_list({Val::plain(""), Val::plain(""), Val(text)}, true);
    return made_list({Val(text), Val::plain(""), Val::plain("")}, true);
  }
  const size_t end = at + mark->bytes.size();
  return made_list({Val(text.part(0, at)), Val(text.part(at, end)), Val(text.part(end, text.bytes.size()))}, true);
}

Result<Val> Interpreter::call_text_method(const TextPtr& self, std::string_view name, const Arguments& arguments) {
  const Text& text = *self;
  if (name == "strip" || name == "lstrip" || name == "rstrip") {
    return strip(text, arguments.find(0, "chars"), name != "rstrip", name != "lstrip");
  }
  if (name == "split" || name == "rsplit") {
    NARU_ASSIGN(const int64_t splits_max, integer_or(arguments, 1, "maxsplit", -1));
    return split(text, arguments.find(0, "sep"), splits_max, name == "rsplit");
  }
  if (name == "splitlines") return split_lines(text);
  if (name == "startswith" || name == "endswith") return affix_test(text, arguments, name == "startswith");
  if (name == "replace") {
    NARU_ASSIGN(const TextPtr from, need_text(arguments, 0, "old"));
    NARU_ASSIGN(const TextPtr to, need_text(arguments, 1, "new"));
    NARU_ASSIGN(const int64_t count, integer_or(arguments, 2, "count", -1));
    return replace(text, *from, *to, count);
  }
  if (name == "upper" || name == "lower" || name == "title" || name == "capitalize") return change_case(text, name);
  if (name == "join") {
    Arguments join;
    join.items.push_back(self);
    return filter_join(arguments.items.empty() ? Val() : arguments.items[0], join);
  }
  if (name == "find" || name == "rfind" || name == "index" || name == "count") return find_in(text, name, arguments);
  if (name == "partition" || name == "rpartition") return partition(text, arguments, name == "rpartition");
  if (name == "removeprefix" || name == "removesuffix") {
    NARU_ASSIGN(const TextPtr affix, need_text(arguments, 0, "affix"));
    const size_t n = affix->bytes.size(), total = text.bytes.size();
    if (name == "removeprefix" && text.bytes.starts_with(affix->bytes)) return made(text.part(n, total));
    if (name == "removesuffix" && text.bytes.ends_with(affix->bytes)) return made(text.part(0, total - n));
    return Val(self);
  }
  if (name.starts_with("is")) {
    NARU_TRY(count_bytes(text.bytes.size()));
    if (name == "isupper" || name == "islower") {
      NARU_ASSIGN(const bool holds,
                  name == "isupper" ? test_case(self, kUpper, kLower) : test_case(self, kLower, kUpper));
      return Val(holds);
    }
    return Val(all_characters(text.bytes, [&](uint32_t c) {
      if (name == "isspace") return is_python_space(c);
      const uint16_t wanted = name == "isdigit" ? kNumber : name == "isalpha" ? kLetter : kNumber | kLetter;
      return (char_flags(c) & wanted) != 0;
    }));
  }
  return error(fmt::format("the method '{}' of a string", name), Code::kUnsupported);
}

Result<Val> Interpreter::call_list_method(const List& self, std::string_view name, const Arguments& arguments) {
  if (name != "index" && name != "count")
    return error(fmt::format("changing a list by '{}'", name), Code::kUnsupported);
  if (arguments.items.size() != 1) return error(fmt::format("'{}' takes one argument", name));
  int64_t n = 0;
  for (size_t i = 0; i < self.items.size(); ++i) {
    NARU_TRY(step());
    if (!are_equal(self.items[i], arguments.items[0], steps_left_)) continue;
    if (name == "index") return Val(static_cast<int64_t>(i));
    ++n;
  }
  NARU_TRY(step());
  if (name == "index") return error("index: the value is not in the list");
  return Val(n);
}

Result<Val> Interpreter::call_dict_method(const Dict& self, std::string_view name, const Arguments& arguments) {
  if (name == "get") {
    const Val* key = arguments.find(0, "key");
    if (!key) return error("get without a key");
    NARU_TRY(step(static_cast<int64_t>(self.entries.size() / 8)));
    const Val* found = key->text() ? self.find(key->text()->bytes) : nullptr;
    if (found) return *found;
    const Val* fallback = arguments.find(1, "default");
    return fallback ? *fallback : Val();
  }
  std::vector<Val> items;
  for (const auto& [key, value] : self.entries) {
    if (name == "keys") {
      items.push_back(key);
    } else if (name == "values") {
      items.push_back(value);
    } else {
      NARU_ASSIGN(Val pair, made_list({Val(key), value}, true));
      items.push_back(std::move(pair));
    }
  }
  return made_list(std::move(items));
}

}  // namespace naru::text::jinja
