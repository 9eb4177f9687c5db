// Values that people type: numbers with their limits, and words out of a list. Messages name where the value came from:
// a flag, a variable of the environment, or a line of the defaults file.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/nearest.h"
#include "base/result.h"

namespace naru::cli {

// What was given and by what: {"--threads", "4"}, {"NARU_THREADS", "4"}, {"~/.config/naru/config.toml:3: threads",
// "4"}, or in the chat {"/set seed", "4"}.
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
Result<size_t> parse_word(const Given& given, std::span<const std::string_view> words);
Result<size_t> parse_word(const Given& given, std::initializer_list<std::string_view> words);
Result<bool> parse_switch(const Given& given);  // on/off, true/false, yes/no, 1/0
// "0,512,2048"
Result<std::vector<int64_t>> parse_integers(const Given& given, int64_t low, int64_t high, size_t count_max);

}  // namespace naru::cli
