#include "cli/word_wrap.h"

#include <fmt/format.h>

#include <algorithm>

#include "cli/terminal.h"
#include "text/utf8.h"

namespace naru::cli {
namespace {

constexpr std::string_view kFence = "```";
constexpr int64_t kTabColumns = 8;

// What stays beside the number before it.
bool is_unit(std::string_view word) {
  while (!word.empty() && (word.back() == ',' || word.back() == ';' || word.back() == ')')) word.remove_suffix(1);
  for (const std::string_view unit : {"%", "B", "KiB", "MiB", "GiB", "s", "ms", "min", "h"}) {
    if (word == unit) return true;
  }
  return false;
}

// The end of the word that `text` begins with, with units that follow it.
size_t word_end(std::string_view text) {
  size_t end = std::min(text.find(' '), text.size());
  const size_t first = text.starts_with('(') ? 1 : 0;
  const bool is_number = first < text.size() && text[first] >= '0' && text[first] <= '9';
  while (is_number && end < text.size()) {
    const size_t next = std::min(text.find(' ', end + 1), text.size());
    if (!is_unit(text.substr(end + 1, next - end - 1))) break;
    end = next;
  }
  return end;
}

// The same, on with the words up to a closing backtick: a command stays whole where a line has room for it.
size_t whole_word_end(std::string_view text, int64_t columns) {
  const size_t first_end = word_end(text);
  size_t end = first_end;
  while (std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(end), '`') % 2 == 1) {
    const size_t closing = text.find('`', end);
    if (closing == std::string_view::npos) return first_end;
    end = std::min(text.find(' ', closing), text.size());
  }
  return display_columns(text.substr(0, end)) <= columns ? end : first_end;
}

}  // namespace

std::vector<std::string> wrapped(std::string_view text, int64_t columns) {
  std::vector<std::string> lines = {""};
  if (columns <= 0) return {std::string(text)};
  int64_t column = 0;
  while (!text.empty()) {
    const size_t end = whole_word_end(text, columns);
    std::string_view word = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    const int64_t width = display_columns(word);
    const bool is_first = lines.back().empty();
    if (!is_first && column + 1 + width > columns) {
      lines.emplace_back();
      column = 0;
    } else if (!is_first) {
      lines.back() += ' ';
      ++column;
    }
    while (!word.empty()) {
      const text::CodePoint c = text::code_point_at(word.data());
      const int64_t wide = display_columns_of(c.value);
      if (column > 0 && column + wide > columns) {
        lines.emplace_back();
        column = 0;
      }
      lines.back() += word.substr(0, c.bytes);
      column += wide;
      word.remove_prefix(c.bytes);
    }
  }
  return lines;
}

void WordWrap::end_line() {
  if (line_begin_ == kFence) is_fenced_ = !is_fenced_;
  line_begin_.clear();
  word_.clear();
  column_ = word_columns_ = 0;
}

std::string WordWrap::push(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size();) {
    const text::CodePoint c = text::code_point_at(text.data() + i);
    const std::string_view bytes = text.substr(i, c.bytes);
    i += c.bytes;
    if (c.value == '\n') {
      out += bytes;
      end_line();
      continue;
    }
    if (line_begin_.size() < kFence.size()) line_begin_ += bytes;
    const bool is_space = c.value == ' ' || c.value == '\t';
    const int64_t width = c.value == '\t' ? kTabColumns - column_ % kTabColumns : display_columns_of(c.value);
    const bool is_over = column_ + width > columns_ && !is_fenced_;
    if (is_over && is_space) {
      // The line breaks before the next word.
      word_.clear();
      word_columns_ = 0;
      continue;
    }
    if (is_over) {
      if (word_columns_ > 0 && word_columns_ < column_) {
        out += fmt::format("\x1b[{}D\x1b[K\n{}", word_columns_, word_);
        column_ = word_columns_;
      } else {
        out += '\n';
        column_ = 0;
      }
    }
    out += bytes;
    column_ += width;
    if (is_space) {
      word_.clear();
      word_columns_ = 0;
    } else {
      word_ += bytes;
      word_columns_ += width;
    }
  }
  return out;
}

}  // namespace naru::cli
