// What a chat reads: a history file, a conversation's file, and the keys of a terminal, drawn after each. What is kept
// of the files must come back from what is written of it.
#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "cli/conversation.h"
#include "cli/edit_buffer.h"
#include "cli/edit_screen.h"
#include "cli/history.h"
#include "cli/key_reader.h"
#include "formats/utf8.h"

namespace {

using namespace naru;
using namespace naru::cli;

void type(std::string_view bytes) {
  size_t at = 0;
  KeyReader keys([&] { return at < bytes.size() ? static_cast<unsigned char>(bytes[at++]) : -1; },
                 [&] { return at < bytes.size(); });
  EditBuffer buffer;
  EditScreen screen;
  for (Key key = keys.next(); key.kind != Key::Kind::kGone; key = keys.next()) {
    NARU_CHECK(formats::is_valid_utf8(key.text));
    switch (key.kind) {
      case Key::Kind::kText:
      case Key::Kind::kPaste: buffer.insert(key.text); break;
      case Key::Kind::kNewLine: buffer.insert("\n"); break;
      case Key::Kind::kUp: buffer.line_up(); break;
      case Key::Kind::kDown: buffer.line_down(); break;
      case Key::Kind::kLeft: buffer.left(); break;
      case Key::Kind::kRight: buffer.right(); break;
      case Key::Kind::kBackspace: buffer.erase_left(); break;
      case Key::Kind::kDelete: buffer.erase_right(); break;
      case Key::Kind::kBackspaceWord: buffer.kill_word_left(); break;
      case Key::Kind::kControl: key.control == 'Y' ? buffer.yank() : buffer.kill_to_line_end(); break;
      default: buffer.word_left(); break;
    }
    NARU_CHECK(formats::is_valid_utf8(buffer.text()) && buffer.cursor() <= buffer.text().size());
    NARU_CHECK(formats::is_valid_utf8(std::string_view(buffer.text()).substr(0, buffer.cursor())));
    (void)screen.draw({">>> ", buffer.text(), buffer.cursor(), ""}, 20);
    if (buffer.text().size() > 4096) buffer.clear();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto messages = parse_history(text);
  for (const std::string& message : messages) NARU_CHECK(formats::is_valid_utf8(message));
  NARU_CHECK(parse_history(format_history(messages)) == messages);

  if (const auto conversation = parse_conversation(text, "x"); conversation.ok()) {
    size_t n_left_out = 0;
    const std::string line = conversation_text(*conversation, &n_left_out);
    const auto again = parse_conversation(line, "x");
    NARU_CHECK(again.ok(), line);
    NARU_CHECK(n_left_out > 0 || again->turns.size() == conversation->turns.size());
  } else {
    NARU_CHECK(formats::is_valid_utf8(conversation.error().message));
  }
  type(text);
  return 0;
}
