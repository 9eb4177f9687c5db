#include "cli/flag_values.h"

#include <utility>

#include "cli/command.h"

namespace naru::cli {

SetFlag set_real(double* target, double low, double high) {
  return [target, low, high](const Given& given) -> Status {
    NARU_ASSIGN(*target, parse_number(given, low, high));
    return {};
  };
}

SetFlag set_some_text(std::string* target) {
  return [target](const Given& given) -> Status {
    if (given.text.empty()) return bad_value(given, "some text");
    *target = given.text;
    return {};
  };
}

SetFlag set_on(bool* target) {
  return [target](const Given&) -> Status {
    *target = true;
    return {};
  };
}

SetFlag set_one_of(std::string* target, std::string words) {
  return [target, words = std::move(words)](const Given& given) -> Status {
    const std::vector<std::string> list = value_words(words);
    const std::vector<std::string_view> views(list.begin(), list.end());
    NARU_ASSIGN(const size_t index, parse_word(given, views));
    *target = list[index];
    return {};
  };
}

}  // namespace naru::cli
