// See cut_text.h. Two places are safe. Behind a line feed that stands between two characters which are no white space:
// no pattern joins a line feed to what follows, and none looks past the run of white space it stands in. Before a
// single space between a printable ASCII character and an ASCII letter: patterns join that space to the letter only.
#include "text/cut_text.h"

#include <algorithm>
#include <optional>

#include "base/ascii.h"
#include "text/unicode.h"
#include "text/utf8.h"

namespace naru::text {
namespace {

bool is_printable_ascii(char c) {
  return c >= '!' && c <= '~';
}
bool is_continuation(char c) {
  return (static_cast<unsigned char>(c) & 0xC0) == 0x80;
}

// A letter, mark, number, punctuation or symbol: never white space, a control or an unassigned character.
bool is_visible(std::string_view character) {
  if (character.empty() || !is_valid_utf8(character)) return false;
  return char_flags(code_point_at(character.data()).value) & (kLetter | kMark | kNumber | kPunctuation | kSymbol);
}

// The bytes of the character that ends before `place`, and of the one that begins there.
std::string_view character_before(std::string_view text, size_t place) {
  size_t begin = place;
  while (begin > 0 && place - begin < 4) {
    --begin;
    if (!is_continuation(text[begin])) break;
  }
  return text.substr(begin, place - begin);
}
std::string_view character_at(std::string_view text, size_t place) {
  size_t end = place + 1;
  while (end < text.size() && end - place < 4 && is_continuation(text[end])) ++end;
  return text.substr(place, end - place);
}

bool may_cut(std::string_view text, size_t place) {
  if (place == 0 || place >= text.size()) return false;
  if (text[place] == ' ') {
    return is_printable_ascii(text[place - 1]) && place + 1 < text.size() && is_ascii_letter(text[place + 1]);
  }
  if (text[place - 1] != '\n') return false;
  return is_visible(character_before(text, place - 1)) && is_visible(character_at(text, place));
}

}  // namespace

size_t place_to_cut(std::string_view text, size_t about) {
  if (text.size() <= about) return text.size();
  for (size_t place = std::min(about, text.size()); place > 0; --place) {
    if (may_cut(text, place)) return place;
  }
  const size_t limit = std::max(about, kUncutBytesMax);
  for (size_t place = about + 1; place < std::min(text.size(), limit); ++place) {
    if (may_cut(text, place)) return place;
  }
  if (text.size() <= limit) return text.size();
  size_t place = limit;
  while (limit - place < 3 && is_continuation(text[place])) --place;
  return place;
}

}  // namespace naru::text
