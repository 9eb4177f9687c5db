// Lines that end between words before the width of the terminal: of a text that is there (wrapped), and of one that
// streams (WordWrap). In a stream a word that turns out too long for its line is taken back and written on the next
// one, and lines between ``` fences stay as they are.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace naru::cli {

// The lines of one line of valid UTF-8: at most `columns` wide, broken at spaces but not between a number and its unit,
// nor between backticks where that fits on a line; a word that is wider breaks anywhere. Columns of 0: no bound.
std::vector<std::string> wrapped(std::string_view text, int64_t columns);

class WordWrap {
 public:
  explicit WordWrap(int64_t columns) : columns_(columns) {}

  // What to write for the next part of the text: valid UTF-8 that ends with a whole character.
  std::string push(std::string_view text);

 private:
  void end_line();

  int64_t columns_;
  int64_t column_ = 0;
  std::string word_;  // since the last white space
  int64_t word_columns_ = 0;
  std::string line_begin_;  // the first characters of the line, for finding fences
  bool is_fenced_ = false;
};

}  // namespace naru::cli
