// The texts of --help, made from the table of commands.
#include <fmt/format.h>

#include <algorithm>

#include "cli/command.h"
#include "cli/terminal.h"

namespace naru::cli {
namespace {

constexpr size_t kTextColumns = 100;
constexpr size_t kFlagColumn = 32;  // where the text beside a flag begins

// Breaks at spaces so that lines end before kTextColumns; lines but the first begin with `indent` spaces.
std::string wrapped(std::string_view text, size_t indent, size_t first_column) {
  std::string out;
  size_t column = first_column;
  bool is_line_start = true;
  while (!text.empty()) {
    const size_t end = std::min(text.find(' '), text.size());
    if (!is_line_start && column + 1 + end > kTextColumns) {
      out += "\n" + std::string(indent, ' ');
      column = indent;
      is_line_start = true;
    }
    if (!is_line_start) out += ' ';
    column += end + (is_line_start ? 0 : 1);
    out += text.substr(0, end);
    is_line_start = false;
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return out + "\n";
}

std::string row(std::string_view left, std::string_view right) {
  std::string line = fmt::format("  {:<{}}", left, kFlagColumn - 2);
  if (left.size() + 2 >= kFlagColumn) line = fmt::format("  {}\n{:{}}", left, "", kFlagColumn);
  return line + wrapped(right, kFlagColumn, kFlagColumn);
}

std::string heading(std::string_view text) {
  return styled(text, Style::kBold, Stream::kOut) + "\n";
}

std::string flag_words(const Flag& flag) {
  std::string words = flag.short_name != 0 ? fmt::format("-{}, ", flag.short_name) : "    ";
  words += flag.dashed();
  if (!flag.value.empty()) words += " " + flag.value;
  return words;
}

std::string examples_of(const Command& command) {
  std::string text;
  for (const Example& example : command.examples) {
    text += fmt::format("  {}\n", styled(example.line, Style::kCyan, Stream::kOut));
    text += "      " + wrapped(example.meaning, 6, 6);
  }
  return text;
}

}  // namespace

std::string help_of(const Command& command) {
  std::string usage = "naru " + command.name;
  for (const Argument& argument : command.arguments) {
    usage += argument.is_required ? " " + argument.name : " [" + argument.name + "]";
    if (argument.is_repeatable) usage += "...";
  }
  std::string text = fmt::format("{}\n{} {} [flags]\n", wrapped(command.description, 0, 0),
                                 styled("Usage:", Style::kBold, Stream::kOut), usage);
  for (const Argument& argument : command.arguments) text += row(argument.name, argument.help);
  std::vector<std::string_view> groups;
  for (const Flag& flag : command.flags) {
    if (std::find(groups.begin(), groups.end(), flag.group) == groups.end()) groups.push_back(flag.group);
  }
  for (const std::string_view group : groups) {
    text += "\n" + heading(group);
    for (const Flag& flag : command.flags) {
      if (flag.group == group) text += row(flag_words(flag), flag.help);
    }
  }
  text += "\n" + heading("Examples") + examples_of(command);
  text += "\n" + wrapped(
                     "Every flag but those of input and output may be set in the environment too: --prefill-chunk "
                     "is NARU_PREFILL_CHUNK; and in a defaults file (naru config). Exit codes are in "
                     "docs/exit-codes.md.",
                     0, 0);
  return text;
}

std::string help_of_all(const std::vector<Command>& commands) {
  std::string text =
      wrapped(
          "naru runs DeepSeek-style reasoning models and gives the same bits on every machine, for every number of "
          "threads and in every batch.",
          0, 0) +
      fmt::format("\n{} naru COMMAND [arguments] [flags]\n\n", styled("Usage:", Style::kBold, Stream::kOut));
  for (const Command& command : commands) text += row(command.name, command.summary);
  text += "\n" + heading("Examples");
  for (const Command& command : commands) {
    text += fmt::format("  {}\n", styled(command.examples.front().line, Style::kCyan, Stream::kOut));
  }
  text += "\n" + row("naru COMMAND --help", "what a command does, its flags and examples");
  text += row("naru --version", "the version and the arithmetic it computes");
  text += "\n" + heading("Environment");
  text += row("NARU_CPU", "level of instructions: baseline, avx2, avx512, avx512vnni or amx; default: the best here");
  text += row("NARU_NVRTC",
              "CUDA's compiler for the chip cuda: the file libnvrtc.so or its folder; default: what is installed");
  text += row("NARU_LIBCUDA", "NVIDIA's driver library for the chip cuda; default: libcuda.so.1");
  text += row("NARU_THREADS", "threads, as --threads; other flags likewise");
  text += row("NARU_MODELS", "folder of the models that naru pull gets; default: ~/.local/share/naru/models");
  text += row("NARU_CONFIG", "another defaults file than ~/.config/naru/config.toml; /dev/null: none");
  text += row("NO_COLOR", "set to anything: no styles on the terminal");
  return text;
}

}  // namespace naru::cli
