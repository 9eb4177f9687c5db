#include "cli/piece_lines.h"

#include <algorithm>

#include "text/utf8.h"

namespace naru::cli {

void PieceLines::begin_line() {
  out_ += "\n" + std::string(static_cast<size_t>(indent_), ' ');
  column_ = indent_;
}

void PieceLines::add(std::string_view text, Style style) {
  if (text.empty()) return;
  const size_t line_end = std::min(text.find('\n'), text.size());
  const int64_t width = display_columns(text.substr(0, line_end));
  if (columns_ > 0 && column_ > indent_ && column_ + width > columns_) begin_line();
  const std::string_view code = style == Style::kPlain ? std::string_view() : style_code(style, Stream::kOut);
  const std::string_view plain = code.empty() ? std::string_view() : style_code(Style::kPlain, Stream::kOut);
  out_ += code;
  while (!text.empty()) {
    const text::CodePoint c = text::code_point_at(text.data());
    const int64_t wide = display_columns_of(c.value);
    const bool is_break = c.value == '\n';
    if (is_break || (columns_ > 0 && column_ > indent_ && column_ + wide > columns_)) {
      out_ += plain;
      begin_line();
      out_ += code;
    }
    if (!is_break) out_ += text.substr(0, c.bytes);
    if (!is_break) column_ += wide;
    text.remove_prefix(c.bytes);
  }
  out_ += plain;
}

}  // namespace naru::cli
