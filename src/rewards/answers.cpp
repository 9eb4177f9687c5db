#include "rewards/answers.h"

#include <array>
#include <utility>

#include "base/check.h"
#include "rewards/numbers.h"

namespace naru::rewards {
namespace {

constexpr std::string_view kSpaces = " \t\r\n\v\f";

constexpr std::array<std::pair<std::string_view, AnswerPlace>, 6> kPlaces = {{{"", AnswerPlace::kUsual},
                                                                              {"whole", AnswerPlace::kWhole},
                                                                              {"last_line", AnswerPlace::kLastLine},
                                                                              {"boxed", AnswerPlace::kBoxed},
                                                                              {"mark", AnswerPlace::kMark},
                                                                              {"number", AnswerPlace::kNumber}}};
constexpr std::array<std::pair<std::string_view, Comparison>, 3> kComparisons = {
    {{"", Comparison::kAsProblem}, {"text", Comparison::kText}, {"number", Comparison::kNumber}}};

template <typename T, size_t n>
T by_word(const std::array<std::pair<std::string_view, T>, n>& words, std::string_view word) {
  for (const auto& [name, value] : words) {
    if (name == word) return value;
  }
  NARU_CHECK(false, word);  // recipes have been checked
  return {};
}

// The text inside the braces that open at `open`; nothing where they are not closed.
std::optional<std::string_view> in_braces(std::string_view text, size_t open) {
  int64_t depth = 0;
  for (size_t i = open; i < text.size(); ++i) {
    if (text[i] == '\\') {
      ++i;  // \{ and \} are signs
    } else if (text[i] == '{') {
      ++depth;
    } else if (text[i] == '}' && --depth == 0) {
      return text.substr(open + 1, i - open - 1);
    }
  }
  return std::nullopt;
}

// The problem's own answer, of a text that may be a whole solution.
std::string_view wanted_answer(std::string_view wanted, AnswerPlace place) {
  if (place == AnswerPlace::kUsual || place == AnswerPlace::kBoxed) {
    if (const auto inside = boxed(wanted)) return *inside;
  }
  if (place == AnswerPlace::kUsual || place == AnswerPlace::kMark) {
    if (const auto behind = behind_hashes(wanted)) return *behind;
  }
  return trimmed(wanted);
}

std::optional<Number> last_number(std::string_view text) {
  std::vector<Number> found = numbers_in(text);
  if (found.empty()) return std::nullopt;
  return std::move(found.back());
}

// What is compared: a text, of which the last number counts, or the only one.
struct Found {
  std::string_view text;
  bool takes_last_number = false;
};

std::optional<Found> find(std::string_view text, AnswerPlace place, bool is_number) {
  const auto of = [](std::optional<std::string_view> found) {
    return found ? std::optional<Found>(Found{*found}) : std::nullopt;
  };
  switch (place) {
    case AnswerPlace::kWhole: return Found{trimmed(text)};
    case AnswerPlace::kLastLine: return Found{last_line(text), true};
    case AnswerPlace::kBoxed: return of(boxed(text));
    case AnswerPlace::kMark: return of(behind_hashes(text));
    case AnswerPlace::kNumber: return Found{text, true};
    case AnswerPlace::kUsual: break;
  }
  if (const auto inside = boxed(text)) return Found{*inside};
  if (const auto behind = behind_hashes(text)) return Found{*behind};
  return is_number ? Found{text, true} : Found{last_line(text)};
}

}  // namespace

AnswerPlace answer_place(std::string_view word) {
  return by_word(kPlaces, word);
}

Comparison comparison(std::string_view word) {
  return by_word(kComparisons, word);
}

std::string_view trimmed(std::string_view text) {
  const size_t begin = text.find_first_not_of(kSpaces);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kSpaces) - begin + 1);
}

std::optional<std::string_view> boxed(std::string_view text) {
  constexpr std::array<std::string_view, 2> kMacros = {"\\boxed{", "\\fbox{"};
  size_t last = std::string_view::npos, brace = 0;
  for (const std::string_view macro : kMacros) {
    const size_t at = text.rfind(macro);
    if (at == std::string_view::npos || (last != std::string_view::npos && at < last)) continue;
    last = at;
    brace = at + macro.size() - 1;
  }
  if (last == std::string_view::npos) return std::nullopt;
  auto inside = in_braces(text, brace);
  // An answer that was cut off in its box has none.
  if (!inside) return std::nullopt;
  inside = trimmed(*inside);
  for (const std::string_view wrap : {"\\text{", "\\textbf{", "\\mathrm{", "\\mathbf{"}) {
    if (!inside->starts_with(wrap)) continue;
    const auto text_inside = in_braces(*inside, wrap.size() - 1);
    if (text_inside && text_inside->size() + wrap.size() + 1 == inside->size()) return trimmed(*text_inside);
  }
  return inside;
}

std::optional<std::string_view> behind_hashes(std::string_view text) {
  constexpr std::string_view kMark = "####";
  const size_t at = text.rfind(kMark);
  if (at == std::string_view::npos) return std::nullopt;
  const std::string_view rest = text.substr(at + kMark.size());
  return trimmed(rest.substr(0, rest.find('\n')));
}

std::string_view last_line(std::string_view text) {
  const std::string_view all = trimmed(text);
  const size_t line_end = all.rfind('\n');
  return trimmed(line_end == std::string_view::npos ? all : all.substr(line_end));
}

bool is_answer(std::string_view text, std::string_view wanted, AnswerPlace place, Comparison how) {
  const std::string_view right = wanted_answer(wanted, place);
  const bool is_numeric = how == Comparison::kNumber || place == AnswerPlace::kNumber ||
                          (how == Comparison::kAsProblem && is_number(right));
  const auto found = find(text, place, is_numeric);
  if (!found) return false;
  if (!is_numeric) return !right.empty() && found->text == right;
  const auto given = found->takes_last_number ? last_number(found->text) : only_number(found->text);
  const auto number = only_number(right);
  return given && number && equal(*given, *number);
}

}  // namespace naru::rewards
