// PieceLines: pieces of text (the tokens of a document) as lines that end between pieces.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "cli/terminal.h"

namespace naru::cli {

// Pieces of text one after the other, from column `indent` on, at most `columns` wide (0: no bound). A piece that has
// no room left in its line begins the next one, and one wider than a line breaks anywhere; lines but the first begin
// with `indent` spaces. A piece is shown in its style.
class PieceLines {
 public:
  PieceLines(int64_t indent, int64_t columns) : indent_(indent), columns_(columns), column_(indent) {}
  // `text`: what a terminal only shows; \n begins a line.
  void add(std::string_view text, Style style);
  const std::string& str() const { return out_; }

 private:
  void begin_line();

  int64_t indent_, columns_, column_;
  std::string out_;
};

}  // namespace naru::cli
