// Which language words are of, by their scripts: English, Korean, Chinese, or another.
//
// Letters of the Latin script next to each other are a word of English, Hangul next to each other a word of Korean (as
// they stand between spaces), and every two Han characters a word of Chinese, which writes no spaces: its words have
// about two. Other letters (Cyrillic, kana) are words of another language. Numbers, formulas ($...$, \(...\), \[...\],
// commands of LaTeX, single Latin letters other than a, A and I, letters with digits) and code (`...`, ```...```) are
// no words, and tags (<think>) neither.
#pragma once

#include <optional>
#include <string_view>

#include "data/generators.h"

namespace naru::rewards {

struct WordCounts {
  double english = 0, korean = 0, chinese = 0, other = 0;
  double all() const { return english + korean + chinese + other; }
};
// Of any bytes, in time linear in them.
WordCounts count_words(std::string_view text);

// The language of most words; nothing where there are none, or most are of another. Of equal ones the first: English,
// Korean, Chinese.
std::optional<data::Language> language_of(std::string_view text);

// "en", "ko", "zh", or "other": of a text, as tables and files call its language.
std::string_view language_word(std::string_view text);

// The share of the answer's words that are of the prompt's language; 1 where either has none to speak of.
double language_share(std::string_view prompt, std::string_view answer);

}  // namespace naru::rewards
