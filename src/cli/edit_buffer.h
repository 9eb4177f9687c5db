// EditBuffer: a text with a cursor, and what keys do to it. Pure. The cursor moves and erases by whole grapheme
// clusters (text/grapheme.h). What is killed (a word, a part of a line) is kept for yank().
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace naru::cli {

class EditBuffer {
 public:
  const std::string& text() const { return text_; }
  size_t cursor() const { return cursor_; }  // in bytes

  void set(std::string text);  // the cursor goes to the end
  void clear() { set({}); }
  // Valid UTF-8.
  void insert(std::string_view text);
  // Puts valid UTF-8 in the place of what stands between `begin` and the cursor.
  void replace_from(size_t begin, std::string_view text);

  void left();
  void right();
  void word_left();
  void word_right();
  void line_begin();
  void line_end();
  // To the line above or below, to the column that the cursor had when it began to move by lines. False where there is
  // no such line.
  bool line_up();
  bool line_down();

  void erase_left();
  void erase_right();
  // These kill; kills one after another at one place are one text.
  void kill_word_left();
  void kill_to_line_begin();
  void kill_to_line_end();
  void yank() { insert(killed_); }

 private:
  size_t word_before(size_t at) const;
  size_t line_begin_at(size_t at) const;
  size_t line_end_at(size_t at) const;
  void erase(size_t begin, size_t end);
  void kill(size_t begin, size_t end);
  void go_to_column(size_t line);
  int64_t column() const;

  std::string text_;
  size_t cursor_ = 0;
  std::string killed_;
  size_t killed_at_ = std::string::npos;  // the cursor behind the last kill, until something else is done
  int64_t goal_column_ = 0;
  size_t goal_at_ = std::string::npos;  // the cursor behind the last move by lines
};

}  // namespace naru::cli
