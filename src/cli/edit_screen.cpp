#include "cli/edit_screen.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "cli/terminal.h"
#include "text/grapheme.h"
#include "text/utf8.h"

namespace naru::cli {
namespace {

constexpr std::string_view kContinuation = "... ";
constexpr uint32_t kEmojiSelector = 0xfe0f;

bool is_control(uint32_t c) {
  return c < 0x20 || (c >= 0x7f && c < 0xa0);
}

// A cluster as it is written, and the columns that it takes at most.
struct Drawn {
  std::string_view bytes;
  size_t columns;
};

Drawn drawn(std::string_view cluster) {
  size_t columns = 0;
  for (size_t i = 0; i < cluster.size();) {
    const text::CodePoint c = text::code_point_at(cluster.data() + i);
    if (is_control(c.value)) return {" ", 1};
    columns += static_cast<size_t>(display_columns_of(c.value));
    if (c.value == kEmojiSelector) columns = std::max(columns, size_t{2});
    i += c.bytes;
  }
  return {cluster, columns};
}

// The rows of a message, and the part of one that stands before the cursor.
class Rows {
 public:
  Rows(std::string_view prompt, size_t columns) : screen_columns_(columns) {
    rows_.push_back(styled(prompt, Style::kBold, Stream::kErr));
    column_ = static_cast<size_t>(display_columns(prompt));
  }

  void put_cursor() {
    cursor_row_ = rows_.size() - 1;
    before_cursor_ = rows_.back();
    cursor_column_ = column_;
  }
  void put(std::string_view cluster) {
    if (cluster == "\n") {
      rows_.push_back(styled(kContinuation, Style::kDim, Stream::kErr));
      column_ = kContinuation.size();
      return;
    }
    const Drawn d = drawn(cluster);
    if (column_ + d.columns > screen_columns_) {
      rows_.emplace_back();
      column_ = 0;
    }
    rows_.back() += d.bytes;
    column_ += d.columns;
  }
  // The cursor would stand behind the last column: it goes to the next row.
  void wrap_cursor() {
    if (cursor_column_ < screen_columns_) return;
    if (++cursor_row_ == rows_.size()) rows_.emplace_back();
    before_cursor_.clear();
  }

  const std::vector<std::string>& rows() const { return rows_; }
  size_t cursor_row() const { return cursor_row_; }
  const std::string& before_cursor() const { return before_cursor_; }

 private:
  size_t screen_columns_;
  std::vector<std::string> rows_;
  size_t column_ = 0;
  size_t cursor_row_ = 0;
  size_t cursor_column_ = 0;
  std::string before_cursor_;
};

}  // namespace

std::string EditScreen::draw(const Shown& shown, size_t columns) {
  Rows rows(shown.prompt, columns);
  for (size_t at = 0; at < shown.text.size();) {
    if (at == shown.cursor) rows.put_cursor();
    const size_t end = text::grapheme_end(shown.text, at);
    rows.put(shown.text.substr(at, end - at));
    if (at < shown.cursor && shown.cursor < end) rows.put_cursor();  // a mark was put behind the cursor
    at = end;
  }
  if (shown.cursor >= shown.text.size()) rows.put_cursor();
  rows.wrap_cursor();

  std::string out = "\r";
  if (cursor_row_ > 0) out += fmt::format("\x1b[{}A", cursor_row_);
  out += "\x1b[J";
  for (size_t i = 0; i < rows.rows().size(); ++i) {
    if (i > 0) out += "\r\n";
    out += rows.rows()[i];
  }
  const bool has_hint = shown.text.empty() && !shown.hint.empty();
  if (has_hint) out += styled(shown.hint, Style::kDim, Stream::kErr);
  cursor_row_ = rows.cursor_row();
  last_row_ = rows.rows().size() - 1;
  const bool is_there = cursor_row_ == last_row_ && rows.before_cursor() == rows.rows().back() && !has_hint;
  if (is_there) return out;
  if (last_row_ > cursor_row_) out += fmt::format("\x1b[{}A", last_row_ - cursor_row_);
  return out + "\r" + rows.before_cursor();
}

std::string EditScreen::leave() {
  std::string out;
  if (last_row_ > cursor_row_) out = fmt::format("\x1b[{}B", last_row_ - cursor_row_);
  forget();
  return out + "\r\n";
}

}  // namespace naru::cli
