// Terminal: what standard input, output and error are, how wide the screen is, which styles may be used, and writing to
// standard output with every failure seen. Styles appear on a terminal only, and not where NO_COLOR is set.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace naru::cli {

// Gives standard input, output and error a place where they were closed, so that no file of ours gets their numbers.
void open_standard_streams();

bool stdin_is_terminal();
bool stdout_is_terminal();
bool stderr_is_terminal();

enum class Style : uint8_t { kPlain, kDim, kBold, kRed, kGreen, kCyan };
enum class Stream : uint8_t { kOut, kErr };

// `text` in a style where the stream takes one, else as it is.
std::string styled(std::string_view text, Style style, Stream stream);
// The sequence that starts a style (kPlain ends them all); empty where the stream takes none.
std::string_view style_code(Style style, Stream stream);

// Columns of the terminal; 80 where it does not say.
int terminal_columns();
// Rows of the terminal; 24 where it does not say.
int terminal_height();

// Columns that valid UTF-8 takes on a screen: combining marks none, wide characters two.
int64_t display_columns(std::string_view text);
int64_t display_columns_of(uint32_t code_point);
// A file's name or a text from a file as one line that a terminal only shows: made valid UTF-8, without_controls, line
// breaks as \n, tabs as spaces.
std::string one_line(std::string_view text);

// From here on, keys typed at the terminal are not shown, and Enter and Ctrl-D wait as they are typed for whoever reads
// next; Ctrl-C still interrupts.
void stop_echo();
// Back to how the terminal was; may be called in a signal handler, and where nothing was stopped.
void restore_echo();
// stop_echo() for the life of the object.
class NoEcho {
 public:
  NoEcho() { stop_echo(); }
  ~NoEcho() { restore_echo(); }
  NoEcho(const NoEcho&) = delete;
  NoEcho& operator=(const NoEcho&) = delete;
};

// All of it, at once, waiting where the stream does not block and is full. A reader that went away is an error with an
// empty message: nobody is left to read one.
Status write_out(std::string_view text);
// To standard error; failures are nobody's concern.
void write_err(std::string_view text);
// "naru: note: TEXT" on standard error.
void print_note(std::string_view text);
// True once a reader of standard output has gone away.
bool reader_is_gone();

}  // namespace naru::cli
