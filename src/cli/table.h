// Table: rows of short cells under a head, as `naru runs`, `list`, `bench` and `data` print them. Columns are as wide
// as their widest cell. On a terminal with less room the last columns give way: their cells stand under their row
// instead, each with its name, so that nothing is left out and no line breaks inside of a word.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cli/terminal.h"

namespace naru::cli {

class Table {
 public:
  struct Column {
    std::string head;
    bool is_right = false;      // numbers
    Style style = Style::kDim;  // of the head
  };
  struct Cell {
    Cell(std::string words, Style its_style = Style::kPlain) : text(std::move(words)), style(its_style) {}  // NOLINT
    std::string text;  // one line that a terminal only shows
    Style style;
  };

  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}
  // As many cells as columns.
  void row(std::vector<Cell> cells);
  // Texts under the row that came last, before the cells that have no room beside it.
  void note(std::vector<std::string> texts) { notes_.back() = std::move(texts); }
  // `columns` of the screen; 0: no bound.
  std::string text(Stream stream, int64_t columns) const;
  std::string text(Stream stream) const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<Cell>> rows_;
  std::vector<std::vector<std::string>> notes_;  // by row
};

}  // namespace naru::cli
