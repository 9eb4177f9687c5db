#include "cli/problem_flags.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/nearest.h"
#include "cli/flag_values.h"
#include "cli/json_text.h"

namespace naru::cli {
namespace {

constexpr std::string_view kLanguageWords = "en|ko|zh|all";
constexpr std::string_view kFindWords = "whole|last_line|boxed|mark|number";
constexpr std::string_view kCompareWords = "text|number";

}  // namespace

std::vector<Flag> problem_flags(ProblemFlags& a, const ProblemWords& words) {
  return {
      {"problems", "PROBLEMS", kGroupProblems,
       fmt::format("digits, countdown or word_problems ({}), or a .jsonl file with prompt or messages, and answer",
                   words.of_generator),
       set_some_text(&a.problems)},
      {"count", "N", kGroupProblems, fmt::format("problems asked; default {}, of a file all", words.count_default),
       set_count(&a.count, 1, words.count_max)},
      {"language", std::string(kLanguageWords), kGroupProblems,
       "of word_problems (default: all) and countdown (default: en)",
       set_one_of(&a.language, std::string(kLanguageWords))},
      {"numbers", "N", kGroupProblems, "of countdown: 3 or 4 numbers; default: either", set_count(&a.numbers, 3, 4)},
      {"find", std::string(kFindWords), kGroupProblems,
       fmt::format("where an answer to a problem of a file must stand: alone, on the last line, in \\boxed{{}}, behind "
                   "####, or as the last number; default: {}",
                   words.find_default),
       set_one_of(&a.find, std::string(kFindWords))},
      {"compare", std::string(kCompareWords), kGroupProblems,
       "how an answer to a problem of a file is compared; default: as a number where the right one is one",
       set_one_of(&a.compare, std::string(kCompareWords))},
      {"think", "TAG", kGroupProblems,
       "right is only what follows reasoning in <TAG> that is closed once, as in --think think",
       [&a](const Given& given) -> Status {
         if (given.text.empty() || given.text.find_first_of("<>/ \t\r\n") != std::string::npos) {
           return bad_value(given, "the name of a tag", "as in --think think");
         }
         a.tag = given.text;
         return {};
       }},
      {"raw", "", kGroupProblems, "ask in plain text, without the model's chat template", set_on(&a.is_raw)}};
}

Status check_problem_flags(const ProblemFlags& flags) {
  const auto wrong = [](const std::string& what) {
    return Error{Code::kInvalidArgument, "reading the command line: " + what};
  };
  if (flags.is_file()) {
    if (flags.language.empty() && flags.numbers == 0) return {};
    return wrong(
        "--language and --numbers are of generators, and a file was given; leave them out (there is a row for each "
        "language of a file)");
  }
  const std::vector<std::string_view> names = {"digits", "countdown", "word_problems"};
  if (std::ranges::find(names, flags.problems) == names.end()) {
    const auto near = nearest(flags.problems, names);
    return wrong(fmt::format("--problems is {}, digits, countdown, word_problems or a .jsonl file was wanted; {}",
                             json_string(flags.problems),
                             near ? fmt::format("did you mean {}?", *near) : "give one of them"));
  }
  if (!flags.find.empty() || !flags.compare.empty()) {
    return wrong(
        fmt::format("--find and --compare are of a file's answers, and {} has a verifier of its own; leave them out",
                    flags.problems));
  }
  if (!flags.language.empty() && flags.problems == "digits") {
    return wrong("--language is of word_problems and countdown, and digits has none; leave it out");
  }
  if (flags.numbers == 0 || flags.problems == "countdown") return {};
  return wrong(fmt::format("--numbers is of countdown, and --problems is {}; leave it out", flags.problems));
}

}  // namespace naru::cli
