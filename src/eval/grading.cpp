#include "eval/grading.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/ascii.h"
#include "data/generators.h"
#include "rewards/numbers.h"
#include "rewards/reasoning_form.h"

namespace naru::eval {
namespace {

using rewards::AnswerPlace;
using rewards::Comparison;

constexpr std::string_view kUsualTag = "think";

// A text as it sounds: ASCII letters small, without punctuation and white space at both ends.
std::string plain(std::string_view text) {
  const auto is_edge = [](char c) {
    return std::string_view(" \t\r\n.,;:!?\"'`*()[]").find(c) != std::string_view::npos;
  };
  while (!text.empty() && is_edge(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_edge(text.back())) text.remove_suffix(1);
  std::string small(text);
  for (char& c : small) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return small;
}

bool is_plainly(std::string_view text, const std::string& wanted) {
  return plain(text) == wanted || plain(rewards::last_line(text)) == wanted;
}

bool is_last_number(std::string_view text, int64_t wanted) {
  const std::vector<rewards::Number> numbers = rewards::numbers_in(text);
  const auto right = rewards::only_number(std::to_string(wanted));
  return !numbers.empty() && right && rewards::equal(numbers.back(), *right);
}

bool is_generators_answer(const data::Problem& problem, std::string_view text) {
  switch (*problem.generator) {
    case data::Generator::kDigits: {
      const auto last = std::find_if(text.rbegin(), text.rend(), is_ascii_digit);
      return last != text.rend() && *last - '0' == problem.answer;
    }
    case data::Generator::kCountdown: return holds_expression(problem, text);
    case data::Generator::kWordProblems: return is_last_number(text, problem.answer);
  }
  return false;
}

bool is_anywhere(std::string_view text, std::string_view wanted, Comparison comparison) {
  for (const AnswerPlace place : {AnswerPlace::kUsual, AnswerPlace::kWhole, AnswerPlace::kBoxed, AnswerPlace::kMark,
                                  AnswerPlace::kLastLine, AnswerPlace::kNumber}) {
    if (rewards::is_answer(text, wanted, place, comparison)) return true;
  }
  return comparison != Comparison::kNumber && is_plainly(text, plain(wanted));
}

// Where the right answer itself says that answers stand.
AnswerPlace place_of(std::string_view wanted) {
  if (rewards::behind_hashes(wanted)) return AnswerPlace::kMark;
  if (rewards::boxed(wanted)) return AnswerPlace::kBoxed;
  return AnswerPlace::kUsual;
}

bool is_strictly(const data::Problem& problem, std::string_view text, const Grading& grading) {
  if (problem.generator) return data::verify(problem, text).is_right;
  const std::string_view wanted = *problem.answer_text;
  const AnswerPlace place = grading.place == AnswerPlace::kUsual ? place_of(wanted) : grading.place;
  return rewards::is_answer(text, wanted, place, grading.comparison);
}

}  // namespace

bool holds_expression(const data::Problem& problem, std::string_view text) {
  constexpr std::pair<std::string_view, char> kSigns[] = {{"×", '*'}, {"·", '*'}, {"÷", '/'}, {"−", '-'}};
  std::string stretch;
  // A dash of a list before it, or of a sentence behind it, is no part of it.
  const auto is_right = [&] {
    const size_t begin = stretch.find_first_of("0123456789("), end = stretch.find_last_of("0123456789)");
    const bool is_one = begin != std::string::npos && end != std::string::npos && begin < end &&
                        data::verify(problem, std::string_view(stretch).substr(begin, end - begin + 1)).is_right;
    stretch.clear();
    return is_one;
  };
  while (!text.empty()) {
    const auto sign = std::ranges::find_if(kSigns, [&](const auto& one) { return text.starts_with(one.first); });
    if (sign != std::end(kSigns)) {
      stretch += sign->second;
      text.remove_prefix(sign->first.size());
      continue;
    }
    const char c = text.front();
    text.remove_prefix(1);
    if (is_ascii_digit(c) || std::string_view("+-*/() ").find(c) != std::string_view::npos) {
      stretch += c;
    } else if (is_right()) {
      return true;
    }
  }
  return is_right();
}

Grade grade(const data::Problem& problem, const GradedText& answer, const Grading& grading) {
  const std::string tag = grading.tag.value_or(std::string(kUsualTag));
  const rewards::ReasoningForm form = rewards::reasoning_form(answer.text, tag, answer.begins_in_reasoning);
  Grade result;
  const bool is_in_form = !answer.is_cut && (!grading.tag || form.is_kept);
  const bool is_right = is_strictly(problem, form.answer, grading);
  result.is_strict = is_in_form && is_right;
  result.is_lenient =
      result.is_strict || (problem.generator ? is_generators_answer(problem, form.answer)
                                             : is_anywhere(form.answer, *problem.answer_text, grading.comparison));
  return result;
}

}  // namespace naru::eval
