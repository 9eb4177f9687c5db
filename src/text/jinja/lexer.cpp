// Jinja's lexical rules (version 3.1) with trim_blocks and lstrip_blocks on and no line statements.
#include "text/jinja/lexer.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "base/ascii.h"
#include "formats/utf8.h"
#include "text/utf8.h"

namespace naru::text::jinja {
namespace {

bool is_blank(char c) {
  return c == ' ' || (c >= '\t' && c <= '\r');
}
bool is_name_start(char c) {
  return is_ascii_letter(c) || c == '_';
}

// Line ends become \n, and one at the very end is dropped.
std::string normalize_line_ends(std::string_view source) {
  std::string out;
  out.reserve(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r') {
      out.push_back('\n');
      if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
    } else {
      out.push_back(source[i]);
    }
  }
  if (out.ends_with('\n')) out.pop_back();
  return out;
}

class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(normalize_line_ends(source)) {}

  Result<std::vector<Token>> run() {
    while (at_ < source_.size()) NARU_TRY(data_and_tag());
    push(TokenKind::kEnd, "");
    return std::move(tokens_);
  }

 private:
  std::string_view rest() const { return std::string_view(source_).substr(at_); }
  bool looking_at(std::string_view text) const { return rest().starts_with(text); }

  void push(TokenKind kind, std::string text) { tokens_.push_back({kind, line_, std::move(text)}); }

  // Moves on, counting lines.
  void skip(size_t n) {
    const size_t end = std::min(at_ + n, source_.size());
    line_ += static_cast<int32_t>(
        std::count(source_.begin() + static_cast<ptrdiff_t>(at_), source_.begin() + static_cast<ptrdiff_t>(end), '\n'));
    if (end > at_) after_line_end_ = source_[end - 1] == '\n';
    at_ = end;
  }
  void skip_blanks() {
    size_t n = 0;
    while (at_ + n < source_.size() && is_blank(source_[at_ + n])) ++n;
    skip(n);
  }

  Error error(std::string_view what) const {
    return template_error(Code::kCorrupt, line_, what, "correct the template");
  }

  // The place of the next "{{", "{%" or "{#".
  size_t find_tag() const {
    for (size_t i = source_.find('{', at_); i != std::string::npos; i = source_.find('{', i + 1)) {
      if (i + 1 < source_.size() && std::string_view("{%#").find(source_[i + 1]) != std::string_view::npos) return i;
    }
    return source_.size();
  }

  // The text before a tag whose sign is at `sign`, as white space control leaves it.
  std::string_view text_before(size_t tag, char sign, bool is_variable) const {
    std::string_view text = std::string_view(source_).substr(at_, tag - at_);
    if (sign == '-') {
      while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
    } else if (sign != '+' && !is_variable) {
      const size_t line_start = text.rfind('\n') + 1;  // 0 where there is none
      if (line_start > 0 || after_line_end_) {
        const std::string_view line = text.substr(line_start);
        if (!line.empty() && std::all_of(line.begin(), line.end(), is_blank)) text = text.substr(0, line_start);
      }
    }
    return text;
  }

  Status data_and_tag() {
    const size_t tag = find_tag();
    if (tag == source_.size()) {
      push(TokenKind::kData, source_.substr(at_));
      skip(source_.size());
      return {};
    }
    const char kind = source_[tag + 1];
    const char sign = tag + 2 < source_.size() ? source_[tag + 2] : '\0';
    const std::string_view text = text_before(tag, sign, kind == '{');
    if (!text.empty()) push(TokenKind::kData, std::string(text));
    skip(tag - at_ + 2);
    if (sign == '-' || sign == '+') skip(1);
    if (kind == '#') return comment();
    if (kind == '%' && is_raw()) return raw();
    push(kind == '{' ? TokenKind::kVariableBegin : TokenKind::kBlockBegin, "");
    return inside(kind == '{');
  }

  // The end of a block tag or comment at the current place: "-%}" takes white space, "%}" one line end.
  bool take_end(std::string_view end) {
    if (looking_at("+") && rest().substr(1).starts_with(end)) {
      skip(1 + end.size());
    } else if (looking_at("-") && rest().substr(1).starts_with(end)) {
      skip(1 + end.size());
      skip_blanks();
    } else if (looking_at(end)) {
      skip(end.size());
      if (looking_at("\n")) skip(1);
    } else {
      return false;
    }
    return true;
  }

  Status comment() {
    const size_t end = source_.find("#}", at_);
    if (end == std::string::npos) return error("a comment has no end");
    const bool is_signed = end > at_ && (source_[end - 1] == '-' || source_[end - 1] == '+');
    skip(end - at_ - (is_signed ? 1 : 0));
    take_end("#}");
    return {};
  }

  bool is_raw() const {
    size_t i = at_;
    while (i < source_.size() && is_blank(source_[i])) ++i;
    if (source_.compare(i, 3, "raw") != 0) return false;
    i += 3;
    while (i < source_.size() && is_blank(source_[i])) ++i;
    return source_.compare(i, 2, "%}") == 0 || source_.compare(i, 3, "-%}") == 0;
  }

  // After "{%" of "{% raw %}": everything up to "{% endraw %}" is data.
  Status raw() {
    skip(source_.find("%}", at_) + 2 - at_);
    if (source_[at_ - 3] == '-') skip_blanks();
    for (size_t tag = source_.find("{%", at_); tag != std::string::npos; tag = source_.find("{%", tag + 1)) {
      size_t i = tag + 2;
      const char sign = i < source_.size() ? source_[i] : '\0';
      if (sign == '-' || sign == '+') ++i;
      while (i < source_.size() && is_blank(source_[i])) ++i;
      if (source_.compare(i, 6, "endraw") != 0) continue;
      i += 6;
      while (i < source_.size() && is_blank(source_[i])) ++i;
      const std::string_view text = text_before(tag, sign, false);
      if (!text.empty()) push(TokenKind::kData, std::string(text));
      skip(i - at_);
      if (!take_end("%}")) return error("'endraw' has no end");
      return {};
    }
    return error("a raw block has no end");
  }

  // The tokens of a tag up to its end.
  Status inside(bool is_variable) {
    std::vector<char> open;
    while (true) {
      skip_blanks();
      if (at_ >= source_.size()) return error("a tag has no end");
      if (open.empty()) {
        if (is_variable && (looking_at("}}") || looking_at("-}}"))) {
          const bool strips = looking_at("-");
          skip(strips ? 3 : 2);
          if (strips) skip_blanks();
          push(TokenKind::kVariableEnd, "");
          return {};
        }
        if (!is_variable && take_end("%}")) {
          push(TokenKind::kBlockEnd, "");
          return {};
        }
      }
      NARU_TRY(one_token(open));
    }
  }

  Status one_token(std::vector<char>& open) {
    const char c = source_[at_];
    if (is_name_start(c)) {
      size_t n = 1;
      while (at_ + n < source_.size() && (is_name_start(source_[at_ + n]) || is_ascii_digit(source_[at_ + n]))) ++n;
      push(TokenKind::kName, source_.substr(at_, n));
      skip(n);
      return {};
    }
    if (is_ascii_digit(c)) return number();
    if (c == '\'' || c == '"') return string(c);
    return operator_token(open);
  }

  Status number() {
    size_t n = 0;
    bool is_double = false;
    const auto digits = [&] {
      while (at_ + n < source_.size() && (is_ascii_digit(source_[at_ + n]) || source_[at_ + n] == '_')) ++n;
    };
    const auto digit_at = [&](size_t i) { return at_ + i < source_.size() && is_ascii_digit(source_[at_ + i]); };
    digits();
    if (rest().substr(n).starts_with('.') && digit_at(n + 1)) {
      is_double = true;
      ++n;
      digits();
    }
    if (at_ + n < source_.size() && (source_[at_ + n] == 'e' || source_[at_ + n] == 'E')) {
      const size_t sign =
          at_ + n + 1 < source_.size() && std::string_view("+-").find(source_[at_ + n + 1]) != std::string_view::npos;
      if (digit_at(n + 1 + sign)) {
        is_double = true;
        n += 1 + sign;
        digits();
      }
    }
    std::string text = source_.substr(at_, n);
    std::erase(text, '_');
    push(is_double ? TokenKind::kDouble : TokenKind::kInt, std::move(text));
    skip(n);
    return {};
  }

  Status string(char quote) {
    std::string text;
    size_t i = at_ + 1;
    while (i < source_.size() && source_[i] != quote) {
      if (source_[i] != '\\' || i + 1 >= source_.size()) {
        text.push_back(source_[i++]);
        continue;
      }
      NARU_TRY(escape(i, text));
    }
    if (i >= source_.size()) return error("a string has no end");
    push(TokenKind::kText, std::move(text));
    skip(i + 1 - at_);
    return {};
  }

  // One escape at source_[i] == '\\'; moves i behind it. An unknown escape stands for itself, as in Python.
  Status escape(size_t& i, std::string& text) {
    const char c = source_[i + 1];
    constexpr std::string_view kNames = "nrtabfv\\'\"";
    constexpr std::string_view kValues = "\n\r\t\a\b\f\v\\'\"";
    if (const size_t known = kNames.find(c); known != std::string_view::npos) {
      text.push_back(kValues[known]);
      i += 2;
      return {};
    }
    if (c == '\n') {  // a line continued
      i += 2;
      return {};
    }
    const size_t n_hex = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    const bool is_octal = c >= '0' && c <= '7';
    if (n_hex == 0 && !is_octal) {
      text.push_back('\\');
      ++i;
      return {};
    }
    uint32_t value = 0;
    size_t n = 0;
    const size_t begin = i + (is_octal ? 1 : 2);
    while (n < (is_octal ? 3 : n_hex) && begin + n < source_.size()) {
      const char d = source_[begin + n];
      const uint32_t digit = is_ascii_digit(d)      ? static_cast<uint32_t>(d - '0')
                             : d >= 'a' && d <= 'f' ? static_cast<uint32_t>(d - 'a' + 10)
                             : d >= 'A' && d <= 'F' ? static_cast<uint32_t>(d - 'A' + 10)
                                                    : 99u;
      if (digit >= (is_octal ? 8u : 16u)) break;
      value = value * (is_octal ? 8 : 16) + digit;
      ++n;
    }
    if ((!is_octal && n != n_hex) || value > 0x10FFFF || (value >= 0xD800 && value < 0xE000)) {
      return error("a string has a broken escape");
    }
    append_utf8(value, text);
    i = begin + n;
    return {};
  }

  Status operator_token(std::vector<char>& open) {
    constexpr std::array<std::string_view, 6> kTwo = {"//", "**", "==", "!=", "<=", ">="};
    for (const std::string_view two : kTwo) {
      if (!looking_at(two)) continue;
      push(TokenKind::kOperator, std::string(two));
      skip(2);
      return {};
    }
    const char c = source_[at_];
    if (std::string_view("+-*/%~[](){}<>=.:|,").find(c) == std::string_view::npos) {
      return error(fmt::format("a tag holds the character '{}'", c >= ' ' && c <= '~' ? std::string(1, c) : "?"));
    }
    if (c == '(' || c == '[' || c == '{') open.push_back(c == '(' ? ')' : c == '[' ? ']' : '}');
    if (c == ')' || c == ']' || c == '}') {
      if (open.empty() || open.back() != c) return error(fmt::format("'{}' closes nothing", c));
      open.pop_back();
    }
    push(TokenKind::kOperator, std::string(1, c));
    skip(1);
    return {};
  }

  std::string source_;
  size_t at_ = 0;
  int32_t line_ = 1;
  bool after_line_end_ = true;  // the last thing read ended a line, or nothing was read yet
  std::vector<Token> tokens_;
};

}  // namespace

Result<std::vector<Token>> tokenize_template(std::string_view source) {
  return Lexer(source).run();
}

Error template_error(Code code, int32_t line, std::string_view what, std::string_view next) {
  return {code, fmt::format("reading the chat template: line {}: {}; {}", line, formats::printable(what, 300), next)};
}

}  // namespace naru::text::jinja
