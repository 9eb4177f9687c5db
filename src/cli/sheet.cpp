#include "cli/sheet.h"

#include <fmt/format.h>

#include <algorithm>

#include "cli/word_wrap.h"

namespace naru::cli {
namespace {

constexpr int64_t kIndentColumns = 2;
constexpr int64_t kValueColumn = 21;      // where values begin
constexpr int64_t kValueColumnsMin = 16;  // on a screen with less room for them, values stand under their names

}  // namespace

int64_t columns_of(Stream stream) {
  const bool is_terminal = stream == Stream::kOut ? stdout_is_terminal() : stderr_is_terminal();
  return is_terminal ? terminal_columns() : 0;
}

std::string indented(std::string_view text, int64_t first, int64_t then) {
  const int64_t columns = columns_of(Stream::kOut);
  std::string out;
  // All lines are as wide as those that begin further right.
  const int64_t room = columns > 0 ? std::max<int64_t>(1, columns - std::max(first, then)) : 0;
  for (const std::string& line : wrapped(text, room)) {
    out += std::string(static_cast<size_t>(out.empty() ? first : then), ' ') + line + '\n';
  }
  return out;
}

std::string message_text(std::string_view head, std::string_view rest, Style style) {
  std::string text;
  for (const std::string& line : wrapped(std::string(head) + one_line(rest), columns_of(Stream::kErr))) {
    text += line + '\n';
  }
  if (!text.starts_with(head)) return text;  // broken inside, on a screen of a few columns
  return styled(head, style, Stream::kErr) + text.substr(head.size());
}

void Sheet::title(std::string_view name, std::string_view rest) {
  const std::string bold = one_line(name);
  const std::vector<std::string> lines = wrapped(bold + one_line(rest), columns_);
  for (size_t i = 0; i < lines.size(); ++i) {
    const bool has_name = i == 0 && lines[i].starts_with(bold);
    out_ += has_name ? styled(bold, Style::kBold, stream_) + lines[i].substr(bold.size()) : lines[i];
    out_ += '\n';
  }
}

void Sheet::heading(std::string_view text) {
  out_ += fmt::format("\n{}\n", styled(text, Style::kBold, stream_));
}

void Sheet::row(std::string_view name, std::string_view value, std::string_view verdict, Style style) {
  if (value.empty() && verdict.empty()) return;
  const bool is_narrow = columns_ > 0 && columns_ < kValueColumn + kValueColumnsMin;
  const int64_t begin = is_narrow ? 2 * kIndentColumns : kValueColumn;
  const int64_t room = columns_ > 0 ? std::max<int64_t>(1, columns_ - begin) : 0;
  const std::vector<std::string> lines = wrapped(one_line(value) + std::string(verdict), room);
  const std::string shown = one_line(name) + "  ";  // a name that fills its column keeps apart from the value
  out_ += fmt::format("  {:<{}}{}", is_narrow ? one_line(name) : shown, is_narrow ? 0 : kValueColumn - kIndentColumns,
                      is_narrow ? fmt::format("\n{:{}}", "", begin) : "");
  for (size_t i = 0; i < lines.size(); ++i) {
    if (i > 0) out_ += fmt::format("{:{}}", "", begin);
    const bool has_verdict = !verdict.empty() && i + 1 == lines.size() && lines[i].ends_with(verdict);
    const size_t plain = lines[i].size() - (has_verdict ? verdict.size() : 0);
    out_ += lines[i].substr(0, plain);
    if (has_verdict) out_ += styled(verdict, style, stream_);
    out_ += '\n';
  }
}

void Sheet::line(std::string_view text) {
  out_ += fmt::format("  {}\n", one_line(text));
}

void Sheet::paragraph(std::string_view text) {
  out_ += '\n';
  for (const std::string& line : wrapped(text, columns_)) out_ += line + '\n';
}

}  // namespace naru::cli
