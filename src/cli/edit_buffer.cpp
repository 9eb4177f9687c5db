#include "cli/edit_buffer.h"

#include <algorithm>

#include "cli/terminal.h"
#include "text/utf8.h"

namespace naru::cli {

void EditBuffer::set(std::string text) {
  text_ = std::move(text);
  cursor_ = text_.size();
}

void EditBuffer::insert(std::string_view text) {
  text_.insert(cursor_, text);
  cursor_ += text.size();
}

size_t EditBuffer::before(size_t at) const {
  while (at > 0) {
    const text::CodePoint c = text::code_point_before(text_.data(), text_.data() + at);
    at -= c.bytes;
    if (display_columns_of(c.value) > 0 || c.value == '\n' || c.value == '\t') break;
  }
  return at;
}

size_t EditBuffer::behind(size_t at) const {
  bool is_first = true;
  while (at < text_.size()) {
    const text::CodePoint c = text::code_point_at(text_.data() + at);
    if (!is_first && (display_columns_of(c.value) > 0 || c.value == '\n' || c.value == '\t')) break;
    is_first = false;
    at += c.bytes;
  }
  return at;
}

size_t EditBuffer::word_before(size_t at) const {
  const auto is_space = [this](size_t i) { return text_[i] == ' ' || text_[i] == '\n' || text_[i] == '\t'; };
  while (at > 0 && is_space(at - 1)) --at;
  while (at > 0 && !is_space(at - 1)) --at;
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
}

void EditBuffer::left() {
  cursor_ = before(cursor_);
}
void EditBuffer::right() {
  cursor_ = behind(cursor_);
}
void EditBuffer::word_left() {
  cursor_ = word_before(cursor_);
}
void EditBuffer::word_right() {
  const auto is_space = [this](size_t i) { return text_[i] == ' ' || text_[i] == '\n' || text_[i] == '\t'; };
  while (cursor_ < text_.size() && is_space(cursor_)) ++cursor_;
  while (cursor_ < text_.size() && !is_space(cursor_)) ++cursor_;
}
void EditBuffer::line_begin() {
  cursor_ = line_begin_at(cursor_);
}
void EditBuffer::line_end() {
  cursor_ = line_end_at(cursor_);
}
void EditBuffer::erase_left() {
  erase(before(cursor_), cursor_);
}
void EditBuffer::erase_right() {
  erase(cursor_, behind(cursor_));
}
void EditBuffer::erase_word_left() {
  erase(word_before(cursor_), cursor_);
}
void EditBuffer::erase_to_line_begin() {
  erase(line_begin_at(cursor_), cursor_);
}
void EditBuffer::erase_to_line_end() {
  erase(cursor_, line_end_at(cursor_));
}

}  // namespace naru::cli
