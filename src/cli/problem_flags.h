// Which problems are asked, and what a right answer to one looks like: flags that naru eval and naru sample share.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/command.h"

namespace naru::cli {

struct ProblemFlags {
  std::string problems;            // a generator's name, or a .jsonl file
  std::optional<int64_t> count;    // of problems; a file's are all asked where it is not said
  std::string language;            // of word problems and countdown; "": the generator's own default
  int64_t numbers = 0;             // of countdown; 0: 3 or 4
  std::string find, compare;       // of the answers to a file's problems, as [[reward]] has it; "": as is usual
  std::optional<std::string> tag;  // strictly right is only what follows one closed <TAG> ... </TAG>
  bool is_raw = false;

  bool is_file() const { return problems.ends_with(".jsonl"); }
};

// What the help of the two commands says in its own words.
struct ProblemWords {
  std::string_view of_generator;  // "held-out ones of a built-in generator"
  std::string_view count_default;
  std::string_view find_default;
  int64_t count_max = 0;
};
// --problems, --count, --language, --numbers, --find, --compare, --think and --raw.
std::vector<Flag> problem_flags(ProblemFlags& target, const ProblemWords& words);

// Whether they fit together: a generator's name or a file, and no flag that is of the other.
Status check_problem_flags(const ProblemFlags& flags);

}  // namespace naru::cli
