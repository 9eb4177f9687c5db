#include "cli/table.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "cli/sheet.h"
#include "cli/word_wrap.h"

namespace naru::cli {
namespace {

constexpr int64_t kGap = 2;         // columns of the screen between two of the table, and before what is under a row
constexpr const char* kNone = "-";  // a cell without a value

// Texts beside one another, whole where they fit.
std::vector<std::string> lines_of(const std::vector<std::string>& texts, int64_t columns) {
  constexpr std::string_view kBetween = " · ";
  std::vector<std::string> lines;
  for (const std::string& text : texts) {
    const int64_t width = display_columns(text);
    if (!lines.empty() &&
        (columns <= 0 || display_columns(lines.back()) + display_columns(kBetween) + width <= columns)) {
      lines.back() += std::string(kBetween) + text;
      continue;
    }
    for (std::string& line : wrapped(text, columns)) lines.push_back(std::move(line));
  }
  return lines;
}

}  // namespace

void Table::row(std::vector<Cell> cells) {
  NARU_CHECK(cells.size() == columns_.size(), cells.size(), columns_.size());
  rows_.push_back(std::move(cells));
  notes_.emplace_back();
}

std::string Table::text(Stream stream) const {
  return text(stream, columns_of(stream));
}

std::string Table::text(Stream stream, int64_t columns) const {
  std::vector<int64_t> widths;
  int64_t together = -kGap;
  size_t n_beside = 0;  // columns that stand side by side; the first always
  for (size_t i = 0; i < columns_.size(); ++i) {
    int64_t width = display_columns(columns_[i].head);
    for (const auto& row : rows_) width = std::max(width, display_columns(row[i].text));
    widths.push_back(width);
    together += kGap + width;
    if (i == n_beside && (i == 0 || columns <= 0 || together <= columns)) n_beside = i + 1;
  }
  const auto row_line = [&](const auto& cell_at) {
    std::string line;
    for (size_t i = 0; i < n_beside; ++i) {
      const auto [text, style] = cell_at(i);
      const std::string pad(static_cast<size_t>(widths[i] - display_columns(text)), ' ');
      const std::string shown = style == Style::kPlain ? text : styled(text, style, stream);
      const bool is_last = i + 1 == n_beside;
      line +=
          (i > 0 ? std::string(kGap, ' ') : "") + (columns_[i].is_right ? pad + shown : shown + (is_last ? "" : pad));
    }
    return line + "\n";
  };
  std::string out = row_line([&](size_t i) { return std::pair(columns_[i].head, columns_[i].style); });
  for (size_t r = 0; r < rows_.size(); ++r) {
    out += row_line([&](size_t i) { return std::pair(rows_[r][i].text, rows_[r][i].style); });
    std::vector<std::string> under = notes_[r];
    for (size_t i = n_beside; i < columns_.size(); ++i) {
      if (rows_[r][i].text != kNone) under.push_back(columns_[i].head + " " + rows_[r][i].text);
    }
    for (const std::string& line : lines_of(under, columns > 0 ? std::max<int64_t>(1, columns - kGap) : 0)) {
      out += std::string(kGap, ' ') + styled(line, Style::kDim, stream) + "\n";
    }
  }
  return out;
}

}  // namespace naru::cli
