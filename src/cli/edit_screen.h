// EditScreen: a message that is being typed, as a terminal is to show it: a prompt, the text in rows of the screen's
// width, the cursor where it belongs. Gives the bytes to write; writes nothing itself.
//
// Terminals differ in how wide they draw a joined emoji or a flag. So the row with the cursor is written a second time,
// up to the cursor: the column is then the terminal's own. Where rows end is a matter of the widest reading.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace naru::cli {

class EditScreen {
 public:
  struct Shown {
    std::string_view prompt;
    std::string_view text;  // valid UTF-8
    size_t cursor = 0;      // in bytes of the text
    std::string_view hint;  // dimmed behind the prompt, while there is no text
  };

  // Draws it in the place of what was drawn before.
  std::string draw(const Shown& shown, size_t columns);
  // The cursor goes below all that was drawn; what is drawn next begins there.
  std::string leave();
  // The screen is empty, or others wrote to it.
  void forget() { cursor_row_ = last_row_ = 0; }

 private:
  size_t cursor_row_ = 0;
  size_t last_row_ = 0;
};

}  // namespace naru::cli
