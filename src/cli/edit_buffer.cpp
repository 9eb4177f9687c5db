#include "cli/edit_buffer.h"

#include <algorithm>

#include "cli/terminal.h"
#include "text/grapheme.h"

namespace naru::cli {
namespace {

bool is_space(char c) {
  return c == ' ' || c == '\n' || c == '\t';
}

}  // namespace

void EditBuffer::set(std::string text) {
  text_ = std::move(text);
  cursor_ = text_.size();
  killed_at_ = goal_at_ = std::string::npos;
}

void EditBuffer::insert(std::string_view text) {
  text_.insert(cursor_, text);
  cursor_ += text.size();
  killed_at_ = goal_at_ = std::string::npos;
}

void EditBuffer::replace_from(size_t begin, std::string_view text) {
  erase(begin, cursor_);
  insert(text);
}

size_t EditBuffer::word_before(size_t at) const {
  while (at > 0 && is_space(text_[at - 1])) --at;
  while (at > 0 && !is_space(text_[at - 1])) --at;
  return at;
}

size_t EditBuffer::line_begin_at(size_t at) const {
  const size_t newline = at == 0 ? std::string::npos : text_.rfind('\n', at - 1);
  return newline == std::string::npos ? 0 : newline + 1;
}

size_t EditBuffer::line_end_at(size_t at) const {
  return std::min(text_.find('\n', at), text_.size());
}

void EditBuffer::erase(size_t begin, size_t end) {
  text_.erase(begin, end - begin);
  cursor_ = begin;
  killed_at_ = goal_at_ = std::string::npos;
}

void EditBuffer::kill(size_t begin, size_t end) {
  if (begin == end) return;
  const bool goes_on = killed_at_ == cursor_;
  const std::string part = text_.substr(begin, end - begin);
  if (!goes_on) killed_.clear();
  killed_ = begin < cursor_ ? part + killed_ : killed_ + part;
  erase(begin, end);
  killed_at_ = cursor_;
}

int64_t EditBuffer::column() const {
  const size_t begin = line_begin_at(cursor_);
  return display_columns(std::string_view(text_).substr(begin, cursor_ - begin));
}

// The last place of the line that begins at `line` and is not past the goal.
void EditBuffer::go_to_column(size_t line) {
  const size_t end = line_end_at(line);
  int64_t column = 0;
  size_t at = line;
  while (at < end) {
    const size_t next = text::grapheme_end(text_, at);
    column += display_columns(std::string_view(text_).substr(at, next - at));
    if (column > goal_column_) break;
    at = next;
  }
  cursor_ = goal_at_ = at;
}

bool EditBuffer::line_up() {
  const size_t begin = line_begin_at(cursor_);
  if (begin == 0) return false;
  if (goal_at_ != cursor_) goal_column_ = column();
  go_to_column(line_begin_at(begin - 1));
  return true;
}

bool EditBuffer::line_down() {
  const size_t end = line_end_at(cursor_);
  if (end == text_.size()) return false;
  if (goal_at_ != cursor_) goal_column_ = column();
  go_to_column(end + 1);
  return true;
}

void EditBuffer::left() {
  if (cursor_ > 0) cursor_ = text::grapheme_begin(text_, cursor_);
}
void EditBuffer::right() {
  if (cursor_ < text_.size()) cursor_ = text::grapheme_end(text_, cursor_);
}
void EditBuffer::word_left() {
  cursor_ = word_before(cursor_);
}
void EditBuffer::word_right() {
  while (cursor_ < text_.size() && is_space(text_[cursor_])) ++cursor_;
  while (cursor_ < text_.size() && !is_space(text_[cursor_])) ++cursor_;
}
void EditBuffer::line_begin() {
  cursor_ = line_begin_at(cursor_);
}
void EditBuffer::line_end() {
  cursor_ = line_end_at(cursor_);
}
void EditBuffer::erase_left() {
  if (cursor_ > 0) erase(text::grapheme_begin(text_, cursor_), cursor_);
}
void EditBuffer::erase_right() {
  if (cursor_ < text_.size()) erase(cursor_, text::grapheme_end(text_, cursor_));
}
void EditBuffer::kill_word_left() {
  kill(word_before(cursor_), cursor_);
}
void EditBuffer::kill_to_line_begin() {
  kill(line_begin_at(cursor_), cursor_);
}
void EditBuffer::kill_to_line_end() {
  kill(cursor_, line_end_at(cursor_));
}

}  // namespace naru::cli
