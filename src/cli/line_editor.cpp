#include "cli/line_editor.h"

#include <fmt/format.h>
#include <poll.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <utility>

#include "base/shown_text.h"
#include "cli/interrupts.h"
#include "cli/terminal.h"
#include "text/grapheme.h"
#include "text/utf8.h"

namespace naru::cli {
namespace {

constexpr std::string_view kPasteBegin = "\x1b[?2004h", kPasteEnd = "\x1b[?2004l";
constexpr int kControlC = 0x03;

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

// True where more bytes come at once: the rest of an escape sequence, not the next key.
bool has_more() {
  constexpr int kEscapeMs = 30;
  pollfd wait{STDIN_FILENO, POLLIN, 0};
  return ::poll(&wait, 1, kEscapeMs) == 1;
}

// A byte of the terminal, or -1 at its end.
int next_byte() {
  unsigned char byte = 0;
  while (true) {
    if (!wait_to_read(STDIN_FILENO)) {
      if (is_asked_to_end()) return -1;
      // A Ctrl-C that was typed between two lines, outside of the editor's mode, is one all the same.
      forget_interrupts();
      return kControlC;
    }
    const ssize_t n = ::read(STDIN_FILENO, &byte, 1);
    if (n == 1) return byte;
    if (n < 0 && (errno == EINTR || errno == EAGAIN) && !is_asked_to_end()) continue;
    return -1;
  }
}

// The longest text that all begin with.
std::string_view common_begin(const std::vector<std::string>& words) {
  std::string_view begin = words.front();
  for (const std::string& word : words) {
    const auto differs = std::mismatch(begin.begin(), begin.end(), word.begin(), word.end()).first;
    begin = begin.substr(0, static_cast<size_t>(differs - begin.begin()));
  }
  // No part of a character.
  size_t whole = 0;
  while (whole < begin.size()) {
    const size_t end = text::grapheme_end(words.front(), whole);
    if (end > begin.size()) break;
    whole = end;
  }
  return begin.substr(0, whole);
}

}  // namespace

LineEditor::LineEditor(std::string prompt, std::string hint, const History& history, Completer completer)
    : prompt_(std::move(prompt)),
      hint_(style_code(Style::kDim, Stream::kErr).empty() ? std::string() : std::move(hint)),
      history_(history),
      completer_(std::move(completer)),
      keys_(next_byte, has_more) {}

// Where what is drawn would go into a file or a pipe (2>log): the terminal itself edits and echoes.
LineEditor::Outcome LineEditor::read_plain(std::string& line) {
  std::string text;
  int byte = next_byte();
  n_keys_ = 1;
  for (; byte >= 0 && byte != '\n' && byte != kControlC; byte = next_byte()) {
    if (text.size() < kMessageBytesMax) text += static_cast<char>(byte);
    ++n_keys_;
  }
  if (byte == kControlC) return Outcome::kInterrupt;
  if (byte < 0 && text.empty()) return Outcome::kEnd;
  line = text::repair_utf8(text);
  return Outcome::kLine;
}

LineEditor::Outcome LineEditor::read(std::string& line) {
  if (!stderr_is_terminal()) return read_plain(line);
  RawMode raw;
  buffer_.clear();
  search_.reset();
  place_ = history_.messages().size();
  screen_.forget();
  is_done_ = false;
  n_keys_ = 0;
  while (true) {
    draw();
    const Key key = keys_.next();
    ++n_keys_;
    if (key.kind == Key::Kind::kControl && key.control == 'Z') {
      leave();
      raw.leave();
      suspend();
      raw.enter();
      is_done_ = false;
      continue;
    }
    const auto outcome = take(key);
    if (!outcome) continue;
    leave();
    if (*outcome == Outcome::kLine) line = buffer_.text();
    return *outcome;
  }
}

void LineEditor::suspend() {
  restore_echo();
  ::raise(SIGTSTP);
  stop_echo();
}

std::optional<LineEditor::Outcome> LineEditor::take(const Key& key) {
  if (search_ && take_search_key(key)) return std::nullopt;
  if (take_motion(key.kind)) return std::nullopt;
  switch (key.kind) {
    case Key::Kind::kGone: return Outcome::kEnd;
    case Key::Kind::kEnter: return Outcome::kLine;
    case Key::Kind::kControl: return take_control(key.control);
    case Key::Kind::kText:
    case Key::Kind::kPaste:
      if (buffer_.text().size() + key.text.size() <= kMessageBytesMax) {
        buffer_.insert(key.text);
        return std::nullopt;
      }
      [[fallthrough]];
    case Key::Kind::kPasteTooLong:
      say(fmt::format("(not taken: a message has at most {} bytes)", kMessageBytesMax));
      return std::nullopt;
    case Key::Kind::kNewLine: buffer_.insert("\n"); return std::nullopt;
    case Key::Kind::kTab: complete(); return std::nullopt;
    default: return std::nullopt;
  }
}

bool LineEditor::take_motion(Key::Kind kind) {
  switch (kind) {
    case Key::Kind::kUp:
      if (!buffer_.line_up()) move_in_history(-1);
      return true;
    case Key::Kind::kDown:
      if (!buffer_.line_down()) move_in_history(1);
      return true;
    case Key::Kind::kLeft: buffer_.left(); return true;
    case Key::Kind::kRight: buffer_.right(); return true;
    case Key::Kind::kWordLeft: buffer_.word_left(); return true;
    case Key::Kind::kWordRight: buffer_.word_right(); return true;
    case Key::Kind::kHome: buffer_.line_begin(); return true;
    case Key::Kind::kEnd: buffer_.line_end(); return true;
    case Key::Kind::kBackspace: buffer_.erase_left(); return true;
    case Key::Kind::kBackspaceWord: buffer_.kill_word_left(); return true;
    case Key::Kind::kDelete: buffer_.erase_right(); return true;
    default: return false;
  }
}

std::optional<LineEditor::Outcome> LineEditor::take_control(char letter) {
  switch (letter) {
    case 'C':
      if (buffer_.text().empty()) return Outcome::kInterrupt;
      buffer_.clear();
      place_ = history_.messages().size();
      return std::nullopt;
    case 'D':
      if (buffer_.text().empty()) return Outcome::kEnd;
      buffer_.erase_right();
      return std::nullopt;
    case 'A': buffer_.line_begin(); return std::nullopt;
    case 'E': buffer_.line_end(); return std::nullopt;
    case 'B': buffer_.left(); return std::nullopt;
    case 'F': buffer_.right(); return std::nullopt;
    case 'K': buffer_.kill_to_line_end(); return std::nullopt;
    case 'U': buffer_.kill_to_line_begin(); return std::nullopt;
    case 'W': buffer_.kill_word_left(); return std::nullopt;
    case 'Y': buffer_.yank(); return std::nullopt;
    case 'P': move_in_history(-1); return std::nullopt;
    case 'N': move_in_history(1); return std::nullopt;
    case 'R': search_ = Search{{}, {}, buffer_.text()}; return std::nullopt;
    case 'L':
      write_err("\x1b[H\x1b[2J");
      screen_.forget();
      return std::nullopt;
    default: return std::nullopt;
  }
}

bool LineEditor::take_search_key(const Key& key) {
  Search& search = *search_;
  const bool is_control = key.kind == Key::Kind::kControl;
  if (key.kind == Key::Kind::kText) {
    constexpr int64_t kSearchColumns = 30;  // of the words around the part
    if (display_columns(search.part) + kSearchColumns >= terminal_columns()) return true;
    search.part += key.text;
    search_from(search.found ? *search.found + 1 : history_.messages().size());
    return true;
  }
  if (key.kind == Key::Kind::kBackspace) {
    if (!search.part.empty()) search.part.resize(text::grapheme_begin(search.part, search.part.size()));
    search_from(history_.messages().size());
    return true;
  }
  if (is_control && key.control == 'R') {
    search_from(search.found.value_or(history_.messages().size()));
    return true;
  }
  if (is_control && (key.control == 'C' || key.control == 'G')) {
    buffer_.set(search.before);
    search_.reset();
    return true;
  }
  // What was found is the message now.
  if (place_ == history_.messages().size()) draft_ = search.before;
  if (search.found) place_ = *search.found;
  search_.reset();
  return key.kind == Key::Kind::kEscape;
}

// An older one, where there is one; what was found before stays where there is none.
void LineEditor::search_from(size_t end) {
  Search& search = *search_;
  const auto found = search.part.empty() ? std::nullopt : history_.find(search.part, end);
  if (found) {
    search.found = found;
    buffer_.set(history_.messages()[*found]);
  } else if (search.part.empty()) {
    search.found.reset();
    buffer_.set(search.before);
  }
}

void LineEditor::move_in_history(int direction) {
  const std::vector<std::string>& messages = history_.messages();
  if (messages.empty()) return;
  const size_t before = place_;
  if (direction < 0 && place_ > 0) --place_;
  if (direction > 0 && place_ < messages.size()) ++place_;
  if (place_ == before) return;
  if (before == messages.size()) draft_ = buffer_.text();
  buffer_.set(place_ == messages.size() ? draft_ : messages[place_]);
}

void LineEditor::complete() {
  const std::string_view before = std::string_view(buffer_.text()).substr(0, buffer_.cursor());
  if (!before.starts_with('/')) {
    // The next one where the line is one of them; the first where the line is empty.
    const auto shown = std::find(offers_.begin(), offers_.end(), buffer_.text());
    const bool is_next = shown != offers_.end() && shown + 1 != offers_.end();
    if (offers_.empty() || (!buffer_.text().empty() && shown == offers_.end())) return buffer_.insert("\t");
    return buffer_.set(is_next ? *(shown + 1) : offers_.front());
  }
  const Completion completion = completer_(before);
  if (completion.words.empty()) return;
  const std::string_view begin = common_begin(completion.words);
  if (begin.size() > before.size() - completion.begin) return buffer_.replace_from(completion.begin, begin);
  if (completion.words.size() > 1) show_words(completion.words);
}

// Below the message, which is drawn again below them.
void LineEditor::show_words(const std::vector<std::string>& words) {
  constexpr size_t kShownMax = 100;
  std::string text;
  int64_t columns = 0;
  for (size_t i = 0; i < std::min(words.size(), kShownMax); ++i) {
    std::string_view word = words[i];
    const size_t slash = word.substr(0, word.size() - 1).rfind('/');
    if (slash != std::string_view::npos && slash > 0) word.remove_prefix(slash + 1);  // of a path its last part
    const int64_t width = display_columns(word) + 2;
    if (columns > 0 && columns + width > terminal_columns()) {
      text += '\n';
      columns = 0;
    }
    text += fmt::format("{}  ", word);
    columns += width;
  }
  if (words.size() > kShownMax) text += fmt::format("and {} more", words.size() - kShownMax);
  say(text);
}

void LineEditor::say(std::string_view text) {
  leave();
  write_err(fmt::format("{}\n", styled(without_controls(text), Style::kDim, Stream::kErr)));
  is_done_ = false;
}

void LineEditor::draw() {
  const auto columns = static_cast<size_t>(std::max(20, terminal_columns()));
  std::string prompt = prompt_;
  if (search_) {
    const std::string& text = buffer_.text();
    const bool is_found = search_->part.empty() || (search_->found && text.find(search_->part) != std::string::npos);
    prompt = fmt::format("({} '{}') ", is_found ? "search" : "no match for", without_controls(search_->part));
  }
  const std::string_view hint = is_done_ || search_ ? std::string_view() : std::string_view(hint_);
  write_err(screen_.draw({prompt, buffer_.text(), buffer_.cursor(), hint}, columns));
}

void LineEditor::leave() {
  is_done_ = true;
  search_.reset();
  draw();
  write_err(screen_.leave());
}

}  // namespace naru::cli
