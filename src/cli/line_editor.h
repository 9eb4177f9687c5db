// LineEditor: reads one message from the terminal, with the keys that hands know: arrows, Home and End, Ctrl-A E B F U
// K W L, Alt-Enter for a new line, the history with up and down, and pasted text with its line ends kept. The terminal
// is in raw mode only while a message is typed.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "cli/edit_buffer.h"

namespace naru::cli {

class LineEditor {
 public:
  enum class Outcome : uint8_t {
    kLine,       // a message
    kInterrupt,  // Ctrl-C on an empty line
    kEnd,        // Ctrl-D on an empty line, or the terminal went away
  };

  // `hint` is shown, dimmed, while nothing is typed.
  LineEditor(std::string prompt, std::string hint) : prompt_(std::move(prompt)), hint_(std::move(hint)) {}

  // On kLine the message is in `line` (valid UTF-8).
  Outcome read(std::string& line);

 private:
  // A byte of the terminal, or -1 at its end.
  int next_byte();
  void take_escape();
  void take_paste();
  void take_text(unsigned char lead);
  // True where the key ends the message.
  bool take_control(unsigned char byte, Outcome& outcome);
  void move_in_history(int direction);
  void draw();
  void leave();  // the cursor below the message

  std::string prompt_;
  std::string hint_;
  EditBuffer buffer_;
  std::vector<std::string> history_;
  size_t history_index_ = 0;
  std::string draft_;  // what was typed before the history was visited
  size_t cursor_row_ = 0;
  size_t last_row_ = 0;
};

}  // namespace naru::cli
