// LineEditor: reads one message from the terminal, with the keys that hands know: arrows, Home and End, Ctrl-A E B F,
// Ctrl-K U W and Y, Alt-Enter for a new line, Tab, the history with up, down and Ctrl-R, and pasted text with its line
// ends kept. The terminal is in raw mode only while a message is typed.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/completion.h"
#include "cli/edit_buffer.h"
#include "cli/edit_screen.h"
#include "cli/history.h"
#include "cli/key_reader.h"

namespace naru::cli {

class LineEditor {
 public:
  enum class Outcome : uint8_t {
    kLine,       // a message
    kInterrupt,  // Ctrl-C on an empty line
    kEnd,        // Ctrl-D on an empty line, or the terminal went away
  };
  using Completer = std::function<Completion(std::string_view before_cursor)>;

  // `hint` is shown, dimmed, while nothing is typed; not at all where nothing can be dimmed. The history must outlive
  // the editor; the messages are added to it by whoever reads them.
  LineEditor(std::string prompt, std::string hint, const History& history, Completer completer);

  // Messages that Tab puts into the empty line, one after another.
  void offer(std::vector<std::string> messages) { offers_ = std::move(messages); }

  // On kLine the message is in `line` (valid UTF-8).
  Outcome read(std::string& line);
  // Whether a key other than the last one was pressed since read() was called.
  bool was_used() const { return n_keys_ > 1; }

 private:
  // Ctrl-R: what is searched for, and where it was found last.
  struct Search {
    std::string part;
    std::optional<size_t> found;
    std::string before;  // the message that was typed before
  };

  Outcome read_plain(std::string& line);
  // Nothing where the message goes on.
  std::optional<Outcome> take(const Key& key);
  std::optional<Outcome> take_control(char letter);
  bool take_motion(Key::Kind kind);
  // False where the key ends the search and is one to take as always.
  bool take_search_key(const Key& key);
  void search_from(size_t end);
  void move_in_history(int direction);
  void complete();
  void show_words(const std::vector<std::string>& words);
  void say(std::string_view text);
  void suspend();
  void draw();
  void leave();  // the cursor below the message

  std::string prompt_;
  std::string hint_;
  std::vector<std::string> offers_;
  const History& history_;
  Completer completer_;
  KeyReader keys_;
  EditBuffer buffer_;
  EditScreen screen_;
  size_t place_ = 0;   // in the history
  std::string draft_;  // what was typed before the history was visited
  std::optional<Search> search_;
  int64_t n_keys_ = 0;
  bool is_done_ = false;  // the hint is not for a line that is done
};

}  // namespace naru::cli
