#include "cli/key_reader.h"

#include <utility>

#include "text/utf8.h"

namespace naru::cli {
namespace {

constexpr int kEscapeByte = 0x1b;
constexpr size_t kSequenceBytesMax = 64;
constexpr std::string_view kPasteEndMark = "\x1b[201~";

Key plain_key(Key::Kind kind) {
  return {.kind = kind};
}

// Line ends of any system as \n.
std::string with_plain_line_ends(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\r' && i + 1 < text.size() && text[i + 1] == '\n') continue;
    out += text[i] == '\r' ? '\n' : text[i];
  }
  return out;
}

// What ESC [ PARAMETERS ~ means.
Key::Kind tilde_key(std::string_view parameters) {
  if (parameters == "1" || parameters == "7") return Key::Kind::kHome;
  if (parameters == "4" || parameters == "8") return Key::Kind::kEnd;
  if (parameters == "3") return Key::Kind::kDelete;
  return Key::Kind::kOther;
}

}  // namespace

int KeyReader::take() {
  if (held_) {
    const int byte = *held_;
    held_.reset();
    return byte;
  }
  return next_byte_();
}

Key KeyReader::next() {
  const int byte = take();
  if (byte < 0) return plain_key(Key::Kind::kGone);
  switch (byte) {
    case kEscapeByte: return escape();
    case '\r': return plain_key(Key::Kind::kEnter);
    case '\n': return plain_key(Key::Kind::kNewLine);  // Ctrl-J
    case '\t': return plain_key(Key::Kind::kTab);
    case 0x08:
    case 0x7f: return plain_key(Key::Kind::kBackspace);
    default: break;
  }
  if (byte == 0 || (byte > 26 && byte < 0x20)) return plain_key(Key::Kind::kOther);
  if (byte < 0x20) return {.kind = Key::Kind::kControl, .control = static_cast<char>('A' + byte - 1)};
  return character(static_cast<unsigned char>(byte));
}

// One character of UTF-8; what is none is left out.
Key KeyReader::character(unsigned char lead) {
  std::string bytes(1, static_cast<char>(lead));
  const int more = lead < 0x80 ? 0 : lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : lead >= 0xc2 ? 1 : 0;
  for (int i = 0; i < more; ++i) {
    const int byte = take();
    if (byte < 0) return plain_key(Key::Kind::kGone);
    if ((byte & 0xc0) != 0x80) {
      held_ = byte;
      return plain_key(Key::Kind::kOther);
    }
    bytes += static_cast<char>(byte);
  }
  if (!text::is_valid_utf8(bytes)) return plain_key(Key::Kind::kOther);
  return {.kind = Key::Kind::kText, .text = std::move(bytes)};
}

// ESC [ parameters letter, ESC O letter, or ESC and a key (Alt).
Key KeyReader::escape() {
  if (!has_more_()) return plain_key(Key::Kind::kEscape);
  const int byte = take();
  switch (byte) {
    case '\r':
    case '\n': return plain_key(Key::Kind::kNewLine);
    case 'b': return plain_key(Key::Kind::kWordLeft);
    case 'f': return plain_key(Key::Kind::kWordRight);
    case 0x7f: return plain_key(Key::Kind::kBackspaceWord);
    case '[': return sequence(true);
    case 'O': return sequence(false);
    default: return plain_key(byte < 0 ? Key::Kind::kGone : Key::Kind::kOther);
  }
}

Key KeyReader::sequence(bool is_csi) {
  std::string parameters;
  int byte = take();
  while (byte >= 0x20 && byte < 0x40 && parameters.size() < kSequenceBytesMax) {
    parameters += static_cast<char>(byte);
    byte = take();
  }
  const bool is_by_word = parameters == "1;5" || parameters == "1;3";
  switch (byte) {
    case 'A': return plain_key(Key::Kind::kUp);
    case 'B': return plain_key(Key::Kind::kDown);
    case 'C': return plain_key(is_by_word ? Key::Kind::kWordRight : Key::Kind::kRight);
    case 'D': return plain_key(is_by_word ? Key::Kind::kWordLeft : Key::Kind::kLeft);
    case 'H': return plain_key(Key::Kind::kHome);
    case 'F': return plain_key(Key::Kind::kEnd);
    case '~': break;
    default: return plain_key(byte < 0 ? Key::Kind::kGone : Key::Kind::kOther);
  }
  if (is_csi && parameters == "200") return paste();
  return plain_key(tilde_key(parameters));
}

// Read to its end even where it is too long: what is left must not be taken for keys.
Key KeyReader::paste() {
  std::string pasted;
  bool is_too_long = false;
  while (!pasted.ends_with(kPasteEndMark)) {
    const int byte = take();
    if (byte < 0) return plain_key(Key::Kind::kGone);
    pasted += static_cast<char>(byte);
    if (pasted.size() > 2 * kMessageBytesMax) {
      pasted.erase(0, pasted.size() - kPasteEndMark.size());
      is_too_long = true;
    }
  }
  pasted.resize(pasted.size() - kPasteEndMark.size());
  if (is_too_long || pasted.size() > kMessageBytesMax) return plain_key(Key::Kind::kPasteTooLong);
  return {.kind = Key::Kind::kPaste, .text = text::repair_utf8(with_plain_line_ends(pasted))};
}

}  // namespace naru::cli
