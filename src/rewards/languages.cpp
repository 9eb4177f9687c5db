#include "rewards/languages.h"

#include <algorithm>
#include <string>

#include "base/ascii.h"
#include "text/unicode.h"
#include "text/utf8.h"

namespace naru::rewards {
namespace {

enum class Script : uint8_t { kNone, kDigit, kLatin, kHangul, kHan, kOther };

Script script_of(uint32_t c) {
  if (c < 0x80) {
    if (is_ascii_letter(static_cast<char>(c))) return Script::kLatin;
    return is_ascii_digit(static_cast<char>(c)) ? Script::kDigit : Script::kNone;
  }
  const uint16_t flags = text::char_flags(c);
  if ((flags & text::kNumber) != 0) return Script::kDigit;
  if ((flags & (text::kLetter | text::kMark)) == 0) return Script::kNone;
  const auto in = [c](uint32_t low, uint32_t high) { return c >= low && c <= high; };
  if (in(0xC0, 0x24F) || in(0x1E00, 0x1EFF) || in(0x300, 0x36F)) return Script::kLatin;
  if (in(0xAC00, 0xD7A3) || in(0x1100, 0x11FF) || in(0x3130, 0x318F)) return Script::kHangul;
  if (in(0x4E00, 0x9FFF) || in(0x3400, 0x4DBF) || in(0x20000, 0x323AF) || in(0xF900, 0xFAFF) || c == 0x3005) {
    return Script::kHan;
  }
  return Script::kOther;
}

// Where what begins at `at` and is no prose ends; `at` itself where it is prose.
class Prose {
 public:
  explicit Prose(std::string_view text) : text_(text) {}

  size_t behind_no_prose(size_t at) {
    const char c = text_[at];
    if (c == '`') return behind_code(at);
    if (c == '$') return behind_dollars(at);
    if (c == '<') return behind_tag(at);
    if (c == '\\') return behind_macro(at);
    return at;
  }

 private:
  // Behind the next `end`; just behind the opening sign where that does not come, once and for all: time stays linear.
  size_t behind(size_t at, size_t n_open, std::string_view end, size_t& none_from) {
    if (at >= none_from) return at + n_open;
    const size_t found = text_.find(end, at + n_open);
    if (found != std::string_view::npos) return found + end.size();
    none_from = at;
    return at + n_open;
  }
  size_t behind_code(size_t at) {
    if (text_.substr(at).starts_with("```")) return behind(at, 3, "```", no_fence_);
    return behind(at, 1, "`", no_tick_);
  }
  size_t behind_dollars(size_t at) {
    if (text_.substr(at).starts_with("$$")) return behind(at, 2, "$$", no_display_);
    // A price has no second sign in its line.
    const size_t end = text_.find_first_of("$\n", at + 1);
    return end != std::string_view::npos && text_[end] == '$' ? end + 1 : at + 1;
  }
  size_t behind_tag(size_t at) const {
    size_t end = at + 1;
    if (end < text_.size() && text_[end] == '/') ++end;
    const size_t name = end;
    while (end < text_.size() && (is_ascii_letter(text_[end]) || text_[end] == '_' || text_[end] == '-')) {
      ++end;
    }
    return end > name && end < text_.size() && text_[end] == '>' ? end + 1 : at + 1;
  }
  size_t behind_macro(size_t at) {
    if (text_.substr(at).starts_with("\\(")) return behind(at, 2, "\\)", no_round_);
    if (text_.substr(at).starts_with("\\[")) return behind(at, 2, "\\]", no_square_);
    size_t end = at + 1;
    while (end < text_.size() && is_ascii_letter(text_[end])) ++end;
    return end;
  }

  std::string_view text_;
  size_t no_fence_ = std::string_view::npos, no_tick_ = std::string_view::npos, no_display_ = std::string_view::npos,
         no_round_ = std::string_view::npos, no_square_ = std::string_view::npos;
};

struct Word {
  Script script = Script::kNone;
  int64_t n_letters = 0;
  uint32_t first = 0;
  bool has_digits = false;  // at either end
};

void add(const Word& word, WordCounts& counts) {
  constexpr double kOfCharacter = 0.5;  // a word of Chinese has about two
  if (word.has_digits && word.script != Script::kHan && word.script != Script::kHangul) return;
  switch (word.script) {
    case Script::kLatin: {
      const bool is_word = word.n_letters > 1 || word.first == 'a' || word.first == 'A' || word.first == 'I';
      if (is_word) counts.english += 1;
      return;
    }
    case Script::kHangul: counts.korean += 1; return;
    case Script::kHan: counts.chinese += kOfCharacter * static_cast<double>(word.n_letters); return;
    case Script::kOther: counts.other += 1; return;
    case Script::kNone:
    case Script::kDigit: return;
  }
}

}  // namespace

WordCounts count_words(std::string_view bytes) {
  const std::string text = text::repair_utf8(bytes);
  WordCounts counts;
  Prose prose(text);
  Word word;
  bool is_behind_digit = false;
  const auto finish = [&] {
    add(word, counts);
    word = {};
  };
  for (size_t at = 0; at < text.size();) {
    if (const size_t behind = prose.behind_no_prose(at); behind > at) {
      finish();
      is_behind_digit = false;
      at = behind;
      continue;
    }
    const text::CodePoint c = text::code_point_at(text.data() + at);
    const Script script = script_of(c.value);
    at += c.bytes;
    // An apostrophe inside of a word is of it.
    const bool is_apostrophe = word.script == Script::kLatin && (c.value == '\'' || c.value == 0x2019);
    if (is_apostrophe) continue;
    if (script != word.script) {
      word.has_digits |= script == Script::kDigit;
      finish();
      word = {script, 0, c.value, is_behind_digit};
    }
    if (script != Script::kNone) ++word.n_letters;
    is_behind_digit = script == Script::kDigit;
  }
  finish();
  return counts;
}

std::optional<data::Language> language_of(std::string_view text) {
  const WordCounts n = count_words(text);
  const double most = std::max({n.english, n.korean, n.chinese, n.other});
  if (most == 0) return std::nullopt;
  if (n.english == most) return data::Language::kEnglish;
  if (n.korean == most) return data::Language::kKorean;
  if (n.chinese == most) return data::Language::kChinese;
  return std::nullopt;
}

std::string_view language_word(std::string_view text) {
  switch (language_of(text).value_or(data::Language::kAll)) {
    case data::Language::kEnglish: return "en";
    case data::Language::kKorean: return "ko";
    case data::Language::kChinese: return "zh";
    case data::Language::kAll: return "other";
  }
  return "other";
}

double language_share(std::string_view prompt, std::string_view answer) {
  const auto language = language_of(prompt);
  const WordCounts n = count_words(answer);
  if (!language || n.all() == 0) return 1;
  const double same = *language == data::Language::kEnglish  ? n.english
                      : *language == data::Language::kKorean ? n.korean
                                                             : n.chinese;
  return same / n.all();
}

}  // namespace naru::rewards
