// A reader by recursive descent over the text; the depth of the recursion is that of the values, which is bounded.
#include "recipes/toml_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <optional>

#include "base/ascii.h"
#include "formats/utf8.h"

namespace naru::recipes {
namespace {

using Kind = TomlValue::Kind;
using Made = TomlValue::Made;

bool is_bare_key(char c) {
  return is_ascii_alphanumeric(c) || c == '_' || c == '-';
}
bool is_bad_control(char c) {  // tab and newline are for the caller to judge
  const auto byte = static_cast<unsigned char>(c);
  return (byte < 0x20 && c != '\t' && c != '\n') || byte == 0x7f;
}

void append_utf8(uint32_t c, std::string* out) {
  const auto put = [out](uint32_t byte) { *out += static_cast<char>(byte); };
  if (c < 0x80) {
    put(c);
  } else if (c < 0x800) {
    put(0xc0 | c >> 6);
    put(0x80 | (c & 0x3f));
  } else if (c < 0x10000) {
    put(0xe0 | c >> 12);
    put(0x80 | (c >> 6 & 0x3f));
    put(0x80 | (c & 0x3f));
  } else {
    put(0xf0 | c >> 18);
    put(0x80 | (c >> 12 & 0x3f));
    put(0x80 | (c >> 6 & 0x3f));
    put(0x80 | (c & 0x3f));
  }
}

// Digits of `base` with single underscores between them, the underscores removed; nothing where they are not that.
std::optional<std::string> digits_of(std::string_view text, int base) {
  std::string digits;
  bool may_underscore = false;
  for (const char c : text) {
    if (c == '_') {
      if (!may_underscore) return std::nullopt;
      may_underscore = false;
      continue;
    }
    const bool is_hex = base == 16 && ((c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'));
    if (!is_hex && (c < '0' || c >= '0' + std::min(base, 10))) return std::nullopt;
    digits += c;
    may_underscore = true;
  }
  if (!may_underscore) return std::nullopt;
  return digits;
}

// A whole decimal part: no zero in front of other digits.
std::optional<std::string> decimal_of(std::string_view text) {
  auto digits = digits_of(text, 10);
  if (digits && digits->size() > 1 && digits->front() == '0') return std::nullopt;
  return digits;
}

std::optional<TomlValue> integer_value(bool is_negative, const std::string& digits, int base) {
  TomlValue value;
  value.kind = Kind::kInteger;
  const std::string text = (is_negative ? "-" : "") + digits;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value.integer, base);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<TomlValue> number_value(bool is_negative, std::string_view text) {
  TomlValue value;
  value.kind = Kind::kNumber;
  if (text == "inf" || text == "nan") {
    value.number = text == "inf" ? std::numeric_limits<double>::infinity() : std::numeric_limits<double>::quiet_NaN();
    if (is_negative) value.number = -value.number;
    return value;
  }
  const size_t exponent_at = std::min(text.find_first_of("eE"), text.size());
  const std::string_view mantissa = text.substr(0, exponent_at);
  const size_t dot = std::min(mantissa.find('.'), mantissa.size());
  const auto whole = decimal_of(mantissa.substr(0, dot));
  if (!whole) return std::nullopt;
  std::string plain = (is_negative ? "-" : "") + *whole;
  if (dot < mantissa.size()) {
    const auto fraction = digits_of(mantissa.substr(dot + 1), 10);
    if (!fraction) return std::nullopt;
    plain += "." + *fraction;
  }
  if (exponent_at < text.size()) {
    std::string_view exponent = text.substr(exponent_at + 1);
    const bool is_below = exponent.starts_with('-');
    if (is_below || exponent.starts_with('+')) exponent.remove_prefix(1);
    const auto digits = digits_of(exponent, 10);
    if (!digits) return std::nullopt;
    plain += (is_below ? "e-" : "e") + *digits;
  }
  const auto [end, error] = std::from_chars(plain.data(), plain.data() + plain.size(), value.number);
  if (error != std::errc() || end != plain.data() + plain.size()) return std::nullopt;
  return value;
}

bool looks_like_time(std::string_view word) {
  const auto digits_then = [&](size_t n, char c) {
    return word.size() > n && word[n] == c &&
           std::all_of(word.begin(), word.begin() + static_cast<long>(n), is_ascii_digit);
  };
  return digits_then(4, '-') || digits_then(2, ':');
}

// A value that is one word: number, truth, time.
std::optional<TomlValue> word_value(std::string_view word) {
  TomlValue value;
  if (word == "true" || word == "false") {
    value.kind = Kind::kTruth;
    value.truth = word == "true";
    return value;
  }
  if (looks_like_time(word)) {
    value.kind = Kind::kTime;
    return value;
  }
  if (word.size() > 2 && word[0] == '0' && (word[1] == 'x' || word[1] == 'o' || word[1] == 'b')) {
    const int base = word[1] == 'x' ? 16 : (word[1] == 'o' ? 8 : 2);
    const auto digits = digits_of(word.substr(2), base);
    return digits ? integer_value(false, *digits, base) : std::nullopt;
  }
  const bool is_negative = word.starts_with('-');
  if (is_negative || word.starts_with('+')) word.remove_prefix(1);
  if (const auto digits = decimal_of(word)) return integer_value(is_negative, *digits, 10);
  return number_value(is_negative, word);
}

class TomlReader {
 public:
  TomlReader(std::string text, std::string_view place) : text_(std::move(text)), place_(place) {}

  Result<TomlValue> read() {
    TomlValue root;
    TomlValue* table = &root;
    while (true) {
      skip_blank();
      if (peek() == '#') {
        NARU_TRY(skip_comment());
      } else if (peek() == '\n') {
        take();
      } else if (is_end()) {
        return root;
      } else if (peek() == '[') {
        NARU_ASSIGN(table, read_header(&root));
        NARU_TRY(end_line());
      } else {
        NARU_TRY(read_entry(table, 0));
        NARU_TRY(end_line());
      }
    }
  }

 private:
  bool is_end() const { return at_ == text_.size(); }
  char peek(size_t ahead = 0) const { return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0'; }
  char take() {
    const char c = text_[at_++];
    if (c == '\n') ++line_;
    return c;
  }
  void skip_blank() {
    while (peek() == ' ' || peek() == '\t') ++at_;
  }

  // "reading a.toml: line 3: FOUND, WANTED was wanted; correct the line"
  Error bad(std::string_view found, std::string_view wanted) const {
    return {Code::kInvalidArgument, fmt::format("{}: line {}: {}, {} was wanted; correct the line (https://toml.io "
                                                "explains the syntax)",
                                                place_, line_, found, wanted)};
  }
  std::string found_here() const {
    if (is_end()) return "the file ends here";
    if (peek() == '\n') return "the line ends here";
    const std::string_view rest = std::string_view(text_).substr(at_);
    return fmt::format("'{}' was found",
                       formats::printable(rest.substr(0, std::min(rest.find('\n'), rest.size())), 40));
  }
  Error bad_here(std::string_view wanted) const { return bad(found_here(), wanted); }

  Status skip_comment() {
    while (!is_end() && peek() != '\n') {
      if (is_bad_control(peek())) return bad("a control character in a comment", "plain text");
      ++at_;
    }
    return {};
  }

  Status end_line() {
    skip_blank();
    if (peek() == '#') return skip_comment();
    if (is_end() || peek() == '\n') return {};
    return bad_here("the end of the line");
  }

  // --- keys and tables --------------------------------------------------------------------------------------------

  Result<std::vector<std::string>> read_path() {
    std::vector<std::string> path;
    while (true) {
      skip_blank();
      std::string part;
      if (peek() == '"' || peek() == '\'') {
        if (peek(1) == peek() && peek(2) == peek()) return bad_here("a key on one line");
        NARU_ASSIGN(part, read_string());
      } else {
        while (is_bare_key(peek())) part += take();
        if (part.empty()) return bad_here("a key of letters, digits, _ and -");
      }
      if (static_cast<int64_t>(path.size()) == kTomlDepthMax) {
        return bad(fmt::format("a key of more than {} parts", kTomlDepthMax), "one of fewer");
      }
      path.push_back(std::move(part));
      skip_blank();
      if (peek() != '.') return path;
      take();
    }
  }

  static TomlValue* find(TomlValue* table, std::string_view key) {
    for (TomlValue& entry : table->table) {
      if (entry.key == key) return &entry;
    }
    return nullptr;
  }

  Result<TomlValue*> add(TomlValue* table, const std::string& key, TomlValue value, int64_t line) {
    if (static_cast<int64_t>(table->table.size()) == kTomlKeysMax) {
      return bad(fmt::format("a table of more than {} keys", kTomlKeysMax), "one of fewer");
    }
    value.key = key;
    value.line = line;
    table->table.push_back(std::move(value));
    return &table->table.back();
  }

  Error twice(std::string_view key) const {
    return bad(fmt::format("'{}' is there already", formats::printable(key, 60)), "every key once");
  }

  static TomlValue table_made(Made made) {
    TomlValue table;
    table.made = made;
    return table;
  }
  static bool is_list_of_headers(const TomlValue& value) {
    return value.kind == Kind::kList && value.made == Made::kByHeader;
  }

  // [a.b] and [[a.b]]: the table that the next entries belong to.
  Result<TomlValue*> read_header(TomlValue* root) {
    const int64_t line = line_;
    take();
    const bool is_list = peek() == '[';
    if (is_list) take();
    NARU_ASSIGN(const auto path, read_path());
    for (int i = 0; i < (is_list ? 2 : 1); ++i) {
      if (peek() != ']') return bad_here(is_list ? "]]" : "]");
      take();
    }
    TomlValue* table = root;
    for (size_t i = 0; i + 1 < path.size(); ++i) {
      TomlValue* next = find(table, path[i]);
      if (next == nullptr) {
        NARU_ASSIGN(next, add(table, path[i], table_made(Made::kByPath), line));
      }
      if (is_list_of_headers(*next)) next = &next->list.back();
      if (next->kind != Kind::kTable || next->made == Made::kInline) return twice(path[i]);
      table = next;
    }
    TomlValue* last = find(table, path.back());
    if (is_list) {
      if (last == nullptr) {
        TomlValue list = table_made(Made::kByHeader);
        list.kind = Kind::kList;
        NARU_ASSIGN(last, add(table, path.back(), std::move(list), line));
      }
      if (!is_list_of_headers(*last)) return twice(path.back());
      last->list.push_back(table_made(Made::kByHeader));
      last->list.back().line = line;
      return &last->list.back();
    }
    if (last == nullptr) return add(table, path.back(), table_made(Made::kByHeader), line);
    if (last->kind != Kind::kTable || last->made != Made::kByPath) return twice(path.back());
    last->made = Made::kByHeader;
    last->line = line;
    return last;
  }

  // key = value
  Status read_entry(TomlValue* table, int64_t depth) {
    const int64_t line = line_;
    NARU_ASSIGN(const auto path, read_path());
    if (peek() != '=') return bad_here("=");
    take();
    for (size_t i = 0; i + 1 < path.size(); ++i) {
      TomlValue* next = find(table, path[i]);
      if (next == nullptr) {
        NARU_ASSIGN(next, add(table, path[i], table_made(Made::kByDots), line));
      }
      if (next->kind != Kind::kTable || next->made != Made::kByDots) return twice(path[i]);
      table = next;
    }
    if (find(table, path.back()) != nullptr) return twice(path.back());
    skip_blank();
    NARU_ASSIGN(TomlValue value, read_value(depth));
    NARU_TRY(add(table, path.back(), std::move(value), line));
    return {};
  }

  // --- values -----------------------------------------------------------------------------------------------------

  Result<TomlValue> read_value(int64_t depth) {
    if (depth == kTomlDepthMax) {
      return bad(fmt::format("values more than {} deep inside each other", kTomlDepthMax), "fewer");
    }
    const char c = peek();
    const int64_t line = line_;
    if (c == '"' || c == '\'') {
      TomlValue value;
      value.kind = Kind::kText;
      value.line = line;
      NARU_ASSIGN(value.text, read_string());
      return value;
    }
    if (c == '[') return read_list(depth);
    if (c == '{') return read_inline_table(depth);
    size_t end = at_;
    while (end < text_.size() &&
           (is_bare_key(text_[end]) || text_[end] == '+' || text_[end] == '.' || text_[end] == ':')) {
      ++end;
    }
    auto value = word_value(std::string_view(text_).substr(at_, end - at_));
    if (!value) return bad_here("a value: text in quotation marks, a number, true or false, or a list");
    at_ = end;
    value->line = line;
    return std::move(*value);
  }

  Result<TomlValue> read_list(int64_t depth) {
    TomlValue list;
    list.kind = Kind::kList;
    list.line = line_;
    take();
    while (true) {
      NARU_TRY(skip_lines());
      if (peek() == ']') break;
      NARU_ASSIGN(TomlValue element, read_value(depth + 1));
      list.list.push_back(std::move(element));
      NARU_TRY(skip_lines());
      if (peek() == ']') break;
      if (peek() != ',') return bad_here(", or ]");
      take();
    }
    take();
    return list;
  }

  Status skip_lines() {
    while (true) {
      skip_blank();
      if (peek() == '#') {
        NARU_TRY(skip_comment());
      } else if (peek() == '\n') {
        take();
      } else {
        return {};
      }
    }
  }

  Result<TomlValue> read_inline_table(int64_t depth) {
    TomlValue table = table_made(Made::kInline);
    table.line = line_;
    take();
    skip_blank();
    while (peek() != '}') {
      NARU_TRY(read_entry(&table, depth + 1));
      skip_blank();
      if (peek() == '}') break;
      if (peek() != ',') return bad_here(", or }");
      take();
      skip_blank();
      if (peek() == '}') return bad_here("another key after the comma");
    }
    take();
    return table;
  }

  Result<std::string> read_string() {
    const char quote = take();
    const bool is_long = peek() == quote && peek(1) == quote;
    if (is_long) {
      take();
      take();
      if (peek() == '\n') take();
    }
    std::string out;
    while (true) {
      if (is_end() || (!is_long && peek() == '\n')) return bad_here(fmt::format("a closing {}", quote));
      if (peek() == quote && (!is_long || (peek(1) == quote && peek(2) == quote))) break;
      if (is_bad_control(peek())) return bad("a control character in a text", "an escape such as \\u0007 for it");
      if (quote == '"' && peek() == '\\') {
        NARU_TRY(read_escape(is_long, &out));
      } else {
        out += take();
      }
    }
    if (!is_long) {
      take();
      return out;
    }
    for (int i = 0; i < 3; ++i) take();
    for (int i = 0; i < 2 && peek() == quote; ++i) out += take();  // up to two marks may stand before the closing three
    return out;
  }

  Status read_escape(bool is_long, std::string* out) {
    take();
    if (is_long) {  // a backslash at the end of a line swallows all blanks up to the next text
      const size_t text_at = std::min(text_.find_first_not_of(" \t", at_), text_.size());
      if (text_at < text_.size() && text_[text_at] == '\n') {
        while (peek() == ' ' || peek() == '\t' || peek() == '\n') take();
        return {};
      }
    }
    constexpr std::string_view kNames = "btnfr\"\\";
    constexpr std::string_view kMeant = "\b\t\n\f\r\"\\";
    const char c = peek();
    if (const size_t i = kNames.find(c); c != '\0' && i != std::string_view::npos) {
      take();
      *out += kMeant[i];
      return {};
    }
    if (c != 'u' && c != 'U') return bad_here("one of b, t, n, f, r, u, U, \" and \\ after a backslash");
    const size_t n = c == 'u' ? 4 : 8;
    uint32_t point = 0;
    const std::string_view digits = std::string_view(text_).substr(at_ + 1, n);
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), point, 16);
    const bool is_whole = error == std::errc() && digits.size() == n && end == digits.data() + n;
    if (!is_whole || point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff)) {
      return bad_here(fmt::format("{} hexadecimal digits of a character", n));
    }
    at_ += 1 + n;
    append_utf8(point, out);
    return {};
  }

  std::string text_;
  std::string_view place_;
  size_t at_ = 0;
  int64_t line_ = 1;
};

}  // namespace

std::string toml_brief(const TomlValue& value) {
  switch (value.kind) {
    case Kind::kText: return fmt::format("the text \"{}\"", formats::printable(value.text, 60));
    case Kind::kInteger: return fmt::format("{}", value.integer);
    case Kind::kNumber: return fmt::format("{}", value.number);
    case Kind::kTruth: return value.truth ? "true" : "false";
    case Kind::kList: return fmt::format("a list of {}", value.list.size());
    case Kind::kTable: return "a table";
    case Kind::kTime: break;
  }
  return "a date or a time";
}

Result<TomlValue> parse_toml(std::string_view text, std::string_view place) {
  if (const int64_t valid = formats::utf8_valid_prefix(text); valid != static_cast<int64_t>(text.size())) {
    return Error{Code::kInvalidArgument,
                 fmt::format("{}: byte {} is no UTF-8, a text file was wanted; save it as UTF-8", place, valid)};
  }
  std::string plain;  // with \n at the end of every line
  plain.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\r' || i + 1 == text.size() || text[i + 1] != '\n') plain += text[i];
  }
  return TomlReader(std::move(plain), place).read();
}

}  // namespace naru::recipes
