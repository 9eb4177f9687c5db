// What the values of flags and arguments are, by the words that help has for them.
#include <utility>

#include "cli/command.h"
#include "export/gguf_kinds.h"

namespace naru::cli {
namespace {

constexpr std::pair<std::string_view, ValueKind> kValueWords[] = {
    {"", ValueKind::kSwitch},       {"N", ValueKind::kWhole},       {"SECONDS", ValueKind::kWhole},
    {"X", ValueKind::kNumber},      {"WEIGHT", ValueKind::kNumber}, {"LIST", ValueKind::kList},
    {"FILE", ValueKind::kFile},     {"PATH", ValueKind::kFile},     {"RECIPE", ValueKind::kFile},
    {"FOLDER", ValueKind::kFolder}, {"OUT", ValueKind::kFile},      {"MODEL", ValueKind::kModel},
    {"ADAPTER", ValueKind::kModel}, {"PULLED", ValueKind::kPulled}, {"COMMAND", ValueKind::kCommand},
    {"KIND", ValueKind::kWords},    {"PROBLEMS", ValueKind::kFile}, {"MINUTES", ValueKind::kNumber},
};

}  // namespace

ValueKind value_kind(std::string_view word) {
  for (const auto& [known, kind] : kValueWords) {
    if (known == word) return kind;
  }
  return word.find('|') == std::string_view::npos ? ValueKind::kText : ValueKind::kWords;
}

std::vector<std::string> value_words(std::string_view word) {
  std::vector<std::string> words;
  if (value_kind(word) != ValueKind::kWords) return words;
  if (word == "KIND") return {exports::gguf_kind_names().begin(), exports::gguf_kind_names().end()};
  while (true) {
    const size_t bar = word.find('|');
    words.emplace_back(word.substr(0, bar));
    if (bar == std::string_view::npos) return words;
    word.remove_prefix(bar + 1);
  }
}

}  // namespace naru::cli
