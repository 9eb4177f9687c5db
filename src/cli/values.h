// Values that people type: numbers with their limits, words out of a list, and the nearest of some names to a mistyped
// one. Messages name where the value came from: a flag or a variable of the environment.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace naru::cli {

// What was given and by what: {"--threads", "4"} or {"NARU_THREADS", "4"}.
struct Given {
  std::string source;
  std::string text;
};

// "reading the command line: SOURCE: 'TEXT' was given, WANTED was wanted; NEXT"
Error bad_value(const Given& given, std::string_view wanted, std::string_view next = "");

Result<int64_t> parse_integer(const Given& given, int64_t low, int64_t high);
Result<uint64_t> parse_seed(const Given& given);
// Finite, in [low, high].
Result<double> parse_number(const Given& given, double low, double high);
// The index of the word.
Result<size_t> parse_word(const Given& given, std::initializer_list<std::string_view> words);
Result<bool> parse_switch(const Given& given);  // on/off, true/false, yes/no, 1/0
// "0,512,2048"
Result<std::vector<int64_t>> parse_integers(const Given& given, int64_t low, int64_t high, size_t count_max);

// The name that is the fewest edits away (insert, delete, replace, swap neighbours); nothing where all are far.
std::optional<std::string_view> nearest(std::string_view word, std::span<const std::string_view> names);

}  // namespace naru::cli
