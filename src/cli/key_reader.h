// KeyReader: the bytes of a terminal in raw mode as keys: characters, control keys, escape sequences, pasted text.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

namespace naru::cli {

struct Key {
  enum class Kind : uint8_t {
    kText,     // one character, in `text`
    kControl,  // Ctrl and the letter `control`, 'A' to 'Z'
    kPaste,    // pasted text with \n at the ends of lines, in `text`
    kPasteTooLong,
    kEnter,
    kNewLine,  // Alt-Enter
    kTab,
    kUp,
    kDown,
    kLeft,
    kRight,
    kWordLeft,
    kWordRight,
    kHome,
    kEnd,
    kBackspace,
    kBackspaceWord,
    kDelete,
    kEscape,
    kOther,  // one that means nothing here
    kGone,   // the terminal went away
  };
  Kind kind = Kind::kOther;
  char control = 0;
  std::string text = {};  // valid UTF-8
};

inline constexpr size_t kMessageBytesMax = 1 << 20;  // of a message that is typed or pasted

class KeyReader {
 public:
  // `next_byte` gives a byte or, at the end, -1; `has_more` says whether another comes at once, as the rest of an
  // escape sequence does and the next key does not.
  KeyReader(std::function<int()> next_byte, std::function<bool()> has_more)
      : next_byte_(std::move(next_byte)), has_more_(std::move(has_more)) {}

  Key next();

 private:
  int take();
  Key character(unsigned char lead);
  Key escape();
  Key sequence(bool is_csi);
  Key paste();

  std::function<int()> next_byte_;
  std::function<bool()> has_more_;
  std::optional<int> held_;  // a byte that was no part of the character before it
};

}  // namespace naru::cli
