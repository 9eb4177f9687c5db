// What most flags do with their value: a number between two bounds, one of some words, a text, on. Targets live as long
// as the flag.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "cli/values.h"

namespace naru::cli {

using SetFlag = std::function<Status(const Given&)>;

template <typename T>
SetFlag set_count(T* target, int64_t low, int64_t high) {
  return [target, low, high](const Given& given) -> Status {
    NARU_ASSIGN(const int64_t value, parse_integer(given, low, high));
    *target = value;
    return {};
  };
}

SetFlag set_real(double* target, double low, double high);
SetFlag set_some_text(std::string* target);  // "" is refused
SetFlag set_on(bool* target);
// "on|off": one of these words.
SetFlag set_one_of(std::string* target, std::string words);

}  // namespace naru::cli
