// The one binary: finds the command, runs it, and turns what went wrong into one message and an exit status.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "builtin/builtin.h"
#include "cli/chip_list.h"
#include "cli/command.h"
#include "cli/defaults.h"
#include "cli/interrupts.h"
#include "cli/json_text.h"
#include "cli/mapping_message.h"
#include "cli/options.h"
#include "cli/terminal.h"
#include "cli/version.h"

namespace naru::cli {
namespace {

constexpr int kStatusReaderGone = 141;  // as of a program that SIGPIPE ended

// A message of several lines has them indented, as lists of bad lines are (data/bad_lines.h); all other line breaks in
// it are from outside and are shown as such.
std::string shown_message(std::string_view message) {
  constexpr std::string_view kBreak = "\n  ";
  std::string text;
  while (true) {
    const size_t at = std::min(message.find(kBreak), message.size());
    text += one_line(std::string(message.substr(0, at)));
    if (at == message.size()) return text;
    text += kBreak;
    message.remove_prefix(at + kBreak.size());
  }
}

// The message on standard error, and with --json the same as an object on standard output.
int report(const Error& error, bool is_json) {
  if (reader_is_gone()) return kStatusReaderGone;
  if (!error.message.empty()) {
    write_err(fmt::format("{} {}\n", styled("naru:", Style::kRed, Stream::kErr), shown_message(error.message)));
    if (is_json) {
      const Json json = {{"error", {{"code", code_name(error.code)}, {"message", error.message}}}};
      (void)write_out(json_text(json)).ok();
    }
  }
  return error.code == Code::kCancelled ? interrupt_status() : exit_status(error.code);
}

int finish(const Status& status, bool is_json) {
  return status.ok() ? 0 : report(status.error(), is_json);
}

Error unknown_command(const std::string& word, const std::vector<Command>& commands) {
  std::vector<std::string_view> names = {"help", "--help", "--version"};
  for (const Command& command : commands) names.push_back(command.name);
  const auto near = word == "chat" ? std::optional<std::string_view>("run") : nearest(word, names);
  return {Code::kInvalidArgument,
          fmt::format("reading the command line: there is no command '{}'; {}`naru --help` lists them", word,
                      near ? fmt::format("did you mean {}? ", *near) : "")};
}

int run(std::vector<std::string> words) {
  const std::vector<Command> commands = all_commands();
  const auto flags_end = std::find(words.begin(), words.end(), "--");
  const bool is_json = std::find(words.begin(), flags_end, "--json") != flags_end;
  say_when_a_mapping_fails(is_json);
  if (words.empty()) {
    write_err(help_of_all(commands) + "\n");
    return report({Code::kInvalidArgument, "reading the command line: no command was given; choose one of those above"},
                  is_json);
  }
  std::string first = words.front();
  words.erase(words.begin());
  if (first == "--version" || first == "-V" || first == "version") {
    return finish(write_out(version_text()), is_json);
  }
  if (first == "help" && !words.empty()) {
    first = words.front();
    words = {"--help"};
  }
  if (first == "--help" || first == "-h" || first == "help") return finish(write_out(help_of_all(commands)), is_json);
  const auto command =
      std::find_if(commands.begin(), commands.end(), [&first](const Command& c) { return c.name == first; });
  if (command == commands.end()) return report(unknown_command(first, commands), is_json);
  Defaults defaults;
  const bool is_help = std::find(words.begin(), words.end(), "--help") != words.end();
  if (command->reads_defaults && !is_help) {
    auto found = read_defaults(all_commands());
    if (!found.ok()) return report(found.error(), is_json);
    defaults = std::move(found).value();
    if (!defaults.note.empty()) print_note(defaults.note);
    set_variables(defaults);
  }
  auto outcome = parse_command(*command, words, defaults);
  if (!outcome.ok()) return report(outcome.error(), is_json);
  if (*outcome == ParseOutcome::kHelp) return finish(write_out(help_of(*command)), is_json);
  if (*outcome == ParseOutcome::kChipList) return finish(list_chips(is_json), is_json);
  return finish(command->run(), is_json);
}

}  // namespace
}  // namespace naru::cli

int main(int argc, char** argv) {
  naru::cli::open_standard_streams();
  naru::cli::install_interrupts();
  naru::builtin::offer_builtin_model();
  try {
    return naru::cli::run(std::vector<std::string>(argv + std::min(argc, 1), argv + argc));
  } catch (const std::bad_alloc&) {
    return naru::cli::report({naru::Code::kResourceExhausted,
                              "running the command: the system gave no more memory; free "
                              "memory, or ask for a smaller model or context"},
                             false);
  } catch (const std::exception& problem) {
    return naru::cli::report(
        {naru::Code::kInternal, fmt::format("running the command: a library stopped with: {}; please "
                                            "report this with the command",
                                            problem.what())},
        false);
  }
}
