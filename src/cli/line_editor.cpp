#include "cli/line_editor.h"

#include <fmt/format.h>
#include <poll.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <utility>

#include "cli/interrupts.h"
#include "cli/terminal.h"
#include "text/utf8.h"

namespace naru::cli {
namespace {

constexpr std::string_view kContinuation = "... ";
constexpr size_t kMessageBytesMax = size_t{1} << 20;
constexpr std::string_view kPasteBegin = "\x1b[?2004h", kPasteEnd = "\x1b[?2004l";

// Raw mode for the life of the object, with pasted text marked as such.
class RawMode {
 public:
  RawMode() { enter(); }
  ~RawMode() { leave(); }
  RawMode(const RawMode&) = delete;
  RawMode& operator=(const RawMode&) = delete;

  void enter() {
    is_raw_ = ::tcgetattr(STDIN_FILENO, &saved_) == 0;
    if (!is_raw_) return;
    termios raw = saved_;
    raw.c_iflag &= ~static_cast<tcflag_t>(BRKINT | ICRNL | INPCK | ISTRIP | IXON);
    raw.c_lflag &= ~static_cast<tcflag_t>(ECHO | ICANON | IEXTEN | ISIG);
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    ::tcsetattr(STDIN_FILENO, TCSADRAIN, &raw);
    write_err(kPasteBegin);
  }
  void leave() {
    if (!is_raw_) return;
    write_err(kPasteEnd);
    ::tcsetattr(STDIN_FILENO, TCSADRAIN, &saved_);
    is_raw_ = false;
  }

 private:
  termios saved_{};
  bool is_raw_ = false;
};

constexpr unsigned char control(char letter) {
  return static_cast<unsigned char>(letter & 0x1f);
}

// True where more bytes come at once: the rest of an escape sequence, not the next key.
bool has_more() {
  constexpr int kEscapeMs = 30;
  pollfd wait{STDIN_FILENO, POLLIN, 0};
  return ::poll(&wait, 1, kEscapeMs) == 1;
}

// Where a character stands on a screen of `columns`.
struct Place {
  size_t row = 0;
  size_t column = 0;

  void advance(size_t width, size_t columns) {
    if (column + width > columns) ++row, column = 0;
    column += width;
  }
};

}  // namespace

int LineEditor::next_byte() {
  unsigned char byte = 0;
  while (true) {
    if (!wait_to_read(STDIN_FILENO)) {
      if (is_asked_to_end()) return -1;
      // A Ctrl-C that was typed between two lines, outside of the editor's mode, is one all the same.
      forget_interrupts();
      return control('C');
    }
    const ssize_t n = ::read(STDIN_FILENO, &byte, 1);
    if (n == 1) return byte;
    if (n < 0 && (errno == EINTR || errno == EAGAIN) && !is_asked_to_end()) continue;
    return -1;
  }
}

LineEditor::Outcome LineEditor::read(std::string& line) {
  RawMode raw;
  buffer_.clear();
  history_index_ = history_.size();
  cursor_row_ = last_row_ = 0;
  draw();
  while (true) {
    const int byte = next_byte();
    if (byte < 0) {
      leave();
      return Outcome::kEnd;
    }
    Outcome outcome = Outcome::kLine;
    if (byte == control('Z')) {
      leave();
      raw.leave();
      restore_echo();
      ::raise(SIGTSTP);
      stop_echo();
      raw.enter();
      cursor_row_ = last_row_ = 0;
    } else if (byte == 0x1b) {
      take_escape();
    } else if (byte < 0x20 || byte == 0x7f) {
      if (take_control(static_cast<unsigned char>(byte), outcome)) {
        leave();
        line = buffer_.text();
        const bool is_new = !line.empty() && (history_.empty() || history_.back() != line);
        if (outcome == Outcome::kLine && is_new) history_.push_back(line);
        return outcome;
      }
    } else {
      take_text(static_cast<unsigned char>(byte));
    }
    draw();
  }
}

bool LineEditor::take_control(unsigned char byte, Outcome& outcome) {
  switch (byte) {
    case '\r': return true;
    case '\n': buffer_.insert("\n"); return false;  // Ctrl-J
    case control('C'):
      outcome = Outcome::kInterrupt;
      if (buffer_.text().empty()) return true;
      buffer_.clear();
      return false;
    case control('D'):
      outcome = Outcome::kEnd;
      if (buffer_.text().empty()) return true;
      buffer_.erase_right();
      return false;
    case control('A'): buffer_.line_begin(); return false;
    case control('E'): buffer_.line_end(); return false;
    case control('B'): buffer_.left(); return false;
    case control('F'): buffer_.right(); return false;
    case control('H'):
    case 0x7f: buffer_.erase_left(); return false;
    case control('K'): buffer_.erase_to_line_end(); return false;
    case control('U'): buffer_.erase_to_line_begin(); return false;
    case control('W'): buffer_.erase_word_left(); return false;
    case control('P'): move_in_history(-1); return false;
    case control('N'): move_in_history(1); return false;
    case control('L'):
      write_err("\x1b[H\x1b[2J");
      cursor_row_ = last_row_ = 0;
      return false;
    case '\t': buffer_.insert("\t"); return false;
    default: return false;
  }
}

// ESC [ parameters letter, ESC O letter, or ESC and a key (Alt).
void LineEditor::take_escape() {
  if (!has_more()) return;
  int byte = next_byte();
  if (byte == '\r' || byte == '\n') return buffer_.insert("\n");
  if (byte == 'b') return buffer_.word_left();
  if (byte == 'f') return buffer_.word_right();
  if (byte == 0x7f) return buffer_.erase_word_left();
  if (byte != '[' && byte != 'O') return;
  std::string parameters;
  byte = next_byte();
  while (byte >= 0x20 && byte < 0x40 && parameters.size() < 16) {
    parameters += static_cast<char>(byte);
    byte = next_byte();
  }
  const bool is_by_word = parameters == "1;5" || parameters == "1;3";
  switch (byte) {
    case 'A': return move_in_history(-1);
    case 'B': return move_in_history(1);
    case 'C': return is_by_word ? buffer_.word_right() : buffer_.right();
    case 'D': return is_by_word ? buffer_.word_left() : buffer_.left();
    case 'H': return buffer_.line_begin();
    case 'F': return buffer_.line_end();
    case '~': break;
    default: return;
  }
  if (parameters == "1" || parameters == "7") buffer_.line_begin();
  if (parameters == "4" || parameters == "8") buffer_.line_end();
  if (parameters == "3") buffer_.erase_right();
  if (parameters == "200") take_paste();
}

void LineEditor::take_paste() {
  constexpr std::string_view kEnd = "\x1b[201~";
  std::string pasted;
  while (pasted.size() < kMessageBytesMax && !pasted.ends_with(kEnd)) {
    const int byte = next_byte();
    if (byte < 0) break;
    pasted += static_cast<char>(byte == '\r' ? '\n' : byte);
  }
  if (pasted.ends_with(kEnd)) pasted.resize(pasted.size() - kEnd.size());
  if (buffer_.text().size() + pasted.size() > kMessageBytesMax) return;
  buffer_.insert(text::repair_utf8(pasted));
}

// One character of UTF-8; what is none is left out.
void LineEditor::take_text(unsigned char lead) {
  std::string character(1, static_cast<char>(lead));
  const int more = lead < 0x80 ? 0 : lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : lead >= 0xc2 ? 1 : 0;
  for (int i = 0; i < more; ++i) {
    const int byte = next_byte();
    if (byte < 0) return;
    character += static_cast<char>(byte);
  }
  if (!text::is_valid_utf8(character) || buffer_.text().size() >= kMessageBytesMax) return;
  buffer_.insert(character);
}

void LineEditor::move_in_history(int direction) {
  if (history_.empty()) return;
  if (history_index_ == history_.size()) draft_ = buffer_.text();
  if (direction < 0 && history_index_ > 0) --history_index_;
  if (direction > 0 && history_index_ < history_.size()) ++history_index_;
  buffer_.set(history_index_ == history_.size() ? draft_ : history_[history_index_]);
}

// Draws the whole message again from where its first row stands.
void LineEditor::draw() {
  const auto columns = static_cast<size_t>(std::max(20, terminal_columns()));
  std::string out = "\r";
  if (cursor_row_ > 0) out += fmt::format("\x1b[{}A", cursor_row_);
  out += "\x1b[J";
  out += styled(prompt_, Style::kBold, Stream::kErr);
  Place place{0, static_cast<size_t>(display_columns(prompt_))};
  Place cursor = place;
  const std::string& text = buffer_.text();
  for (size_t i = 0; i < text.size();) {
    if (i == buffer_.cursor()) cursor = place;
    const text::CodePoint c = text::code_point_at(text.data() + i);
    if (c.value == '\n') {
      out += fmt::format("\r\n{}", styled(kContinuation, Style::kDim, Stream::kErr));
      place = {place.row + 1, kContinuation.size()};
    } else {
      const bool is_control = c.value < 0x20 || c.value == 0x7f;
      const auto width = is_control ? size_t{1} : static_cast<size_t>(display_columns_of(c.value));
      const size_t row = place.row;
      place.advance(width, columns);
      if (place.row != row) out += "\r\n";
      out += is_control ? " " : text.substr(i, c.bytes);
    }
    i += c.bytes;
  }
  if (buffer_.cursor() == text.size()) cursor = place;
  if (text.empty() && !hint_.empty()) out += styled(hint_, Style::kDim, Stream::kErr);
  if (cursor.column >= columns) {
    // The cursor would stand behind the last column: it goes to the next row.
    if (cursor.row == place.row) out += "\r\n", ++place.row;
    cursor = {cursor.row + 1, 0};
  }
  out += '\r';
  if (place.row > cursor.row) out += fmt::format("\x1b[{}A", place.row - cursor.row);
  if (cursor.column > 0) out += fmt::format("\x1b[{}C", cursor.column);
  cursor_row_ = cursor.row;
  last_row_ = place.row;
  write_err(out);
}

void LineEditor::leave() {
  const std::string hint = std::exchange(hint_, "");  // not on a line that is done
  draw();
  hint_ = hint;
  if (last_row_ > cursor_row_) write_err(fmt::format("\x1b[{}B", last_row_ - cursor_row_));
  write_err("\r\n");
}

}  // namespace naru::cli
