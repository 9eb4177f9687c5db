// EditBuffer: a text with a cursor, and what keys do to it. Pure; the cursor always stands between whole characters.
#pragma once

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

  void left();
  void right();
  void word_left();
  void word_right();
  void line_begin();
  void line_end();

  void erase_left();
  void erase_right();
  void erase_word_left();
  void erase_to_line_begin();
  void erase_to_line_end();

 private:
  size_t before(size_t at) const;  // start of the character that ends at `at`, marks taken together with their base
  size_t behind(size_t at) const;
  size_t word_before(size_t at) const;
  size_t line_begin_at(size_t at) const;
  size_t line_end_at(size_t at) const;
  void erase(size_t begin, size_t end);

  std::string text_;
  size_t cursor_ = 0;
};

}  // namespace naru::cli
