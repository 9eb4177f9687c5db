// Where in a text the answer stands, and how it is compared with the right one: two ideas, each by itself. Texts are of
// any bytes; time is linear in them.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "data/problem.h"

namespace naru::rewards {

// kUsual: the first there is of boxed, mark, and the last number or line.
enum class AnswerPlace : uint8_t { kUsual, kWhole, kLastLine, kBoxed, kMark, kNumber };
enum class Comparison : uint8_t { kAsProblem, kText, kNumber };

// By the words of a recipe: "", "whole", "last_line", "boxed", "mark", "number"; "", "text", "number".
AnswerPlace answer_place(std::string_view word);
Comparison comparison(std::string_view word);

// Without white space at both ends.
std::string_view trimmed(std::string_view text);
// What the last \boxed{...} (\fbox) holds whose braces are balanced, without a \text{...} around all of it.
std::optional<std::string_view> boxed(std::string_view text);
// The line behind the last "####", as GSM8K writes it.
std::optional<std::string_view> behind_hashes(std::string_view text);
// The last line that is not empty.
std::string_view last_line(std::string_view text);

// Whether the answer in `text` is the one `wanted`. That may be a whole solution, as data sets have it: where it has a
// box or a mark, and one of those is looked for, the answer is taken out of it, too. Texts are equal where their bytes
// are, without white space around them; numbers as numbers.h says. Of a last line its last number counts, elsewhere
// there must be exactly one.
bool is_answer(std::string_view text, std::string_view wanted, AnswerPlace place, Comparison how);

}  // namespace naru::rewards
