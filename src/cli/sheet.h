// Sheet: what `naru show` and the head of `naru train` print: titles, headings, and rows of a name and a value. On a
// terminal values break between words and go on under where they began; elsewhere every row is one line.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "cli/terminal.h"

namespace naru::cli {

// The columns that a text on `stream` has; 0 where it is no terminal, and lines may be of any length.
int64_t columns_of(Stream stream);

// A text on standard output as lines that break between words; the first begins behind `first` spaces, the others
// `then`.
std::string indented(std::string_view text, int64_t first, int64_t then);

// A message of one line on standard error, the beginning `head` in its style; on a terminal it breaks between words.
std::string message_text(std::string_view head, std::string_view rest, Style style);

class Sheet {
 public:
  // `columns`: as columns_of() says.
  Sheet(Stream stream, int64_t columns) : stream_(stream), columns_(columns) {}
  explicit Sheet(Stream stream) : Sheet(stream, columns_of(stream)) {}

  // Names and values may hold texts of files: a terminal only shows them. Styles are put around them here.
  void title(std::string_view name, std::string_view rest);
  void heading(std::string_view text);
  // Nothing where the value is empty.
  void row(std::string_view name, std::string_view value) { row(name, value, "", Style::kPlain); }
  // With a last word or two in a style.
  void row(std::string_view name, std::string_view value, std::string_view verdict, Style style);
  // Under the rows, as long as it is: what is to be copied whole.
  void line(std::string_view text);
  // Between the rows and what follows, broken between words.
  void paragraph(std::string_view text);
  const std::string& str() const { return out_; }

 private:
  Stream stream_;
  int64_t columns_;
  std::string out_;
};

}  // namespace naru::cli
