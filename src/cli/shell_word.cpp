#include "cli/shell_word.h"

namespace naru::cli {

std::string shell_word(std::string_view word) {
  constexpr std::string_view kPlain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./+:@%=,";
  if (!word.empty() && word[0] != '=' && word.find_first_not_of(kPlain) == std::string_view::npos)
    return std::string(word);
  const bool has_lines = word.find('\n') != std::string_view::npos;
  std::string quoted = has_lines ? "$'" : "'";
  for (const char c : word) {
    if (c == '\'') {
      quoted += has_lines ? "\\'" : "'\\''";
    } else if (has_lines && (c == '\n' || c == '\\')) {
      quoted += c == '\n' ? "\\n" : "\\\\";
    } else {
      quoted += c;
    }
  }
  return quoted + "'";
}

}  // namespace naru::cli
