// The stories of the word problems in three languages, and the words that fill them.
//
// Placeholders: {a} {b} {c} numbers, {r} the result; {A} {B} names; {o} the thing, {m} its counter (Korean, Chinese).
// In Korean a particle that depends on the sound before it follows a bar: {A|은}, {o|을}, {A|이}, {A|과}; the form
// after a vowel is put by the code.
#pragma once

#include <array>
#include <span>
#include <string_view>

namespace naru::data {

enum class Story : uint8_t {
  kGain,        // a + b
  kLose,        // a - b
  kGroups,      // a * b
  kShare,       // a / b
  kMore,        // a + b
  kFewer,       // a - b
  kPrice,       // a * b
  kChange,      // a * b, c - that
  kGainLose,    // a + b, that - c
  kGroupsMore,  // a * b, that + c
  kGroupsLess,  // a * b, that - c
  kTogether,    // a + b, a + that
};
inline constexpr int kStories = 12;

struct Thing {
  std::string_view name;     // English: in the plural
  std::string_view counter;  // Korean and Chinese
};

struct StoryTexts {
  std::array<std::string_view, kStories> questions;
  std::array<std::string_view, kStories> answers;
  std::array<std::string_view, 12> names;
  std::array<Thing, 10> things;
};

extern const StoryTexts kEnglishTexts;
extern const StoryTexts kKoreanTexts;
extern const StoryTexts kChineseTexts;

}  // namespace naru::data
