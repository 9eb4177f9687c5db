// Command: one verb of the program as a table: its arguments, its flags, its examples and what it does. Parsing, help,
// suggestions and the names in the environment are all made from this table.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/values.h"

namespace naru::cli {

struct Flag {
  std::string long_name;   // "threads"
  std::string value;       // how help calls the value: "N"; empty: a switch
  std::string_view group;  // the heading in help
  std::string help;
  std::function<Status(const Given&)> set;  // a switch gets "on"
  char short_name = 0;                      // 't'
  bool is_repeatable = false;
  bool has_environment = true;  // may come from NARU_LONG_NAME too; the command line wins

  std::string dashed() const { return "--" + long_name; }
  std::string environment() const;
};

struct Argument {
  std::string name;  // "MODEL"
  std::string help;
  bool is_required = true;
  std::function<Status(const Given&)> set;
  bool is_repeatable = false;  // takes all words that are left; the last argument only
};

struct Example {
  std::string line;
  std::string meaning;
};

struct Command {
  std::string name;
  std::string summary;      // one line
  std::string description;  // for its own help
  std::vector<Argument> arguments = {};
  std::vector<Flag> flags = {};
  std::vector<Example> examples = {};
  std::function<Status()> check = {};  // after all values are set, before run
  std::function<Status()> run = {};
};

// Headings of groups of flags, in the order that help shows them.
inline constexpr std::string_view kGroupAnswer = "Answer";
inline constexpr std::string_view kGroupSampling = "Sampling";
inline constexpr std::string_view kGroupInput = "Input and output";
inline constexpr std::string_view kGroupBench = "Measuring";
inline constexpr std::string_view kGroupTokenizer = "Training a tokenizer";
inline constexpr std::string_view kGroupNumbers = "Numbers (each choice has its own numerics id)";
inline constexpr std::string_view kGroupMachine = "Machine (no flag here changes a bit)";
inline constexpr std::string_view kGroupNetwork = "Network";
inline constexpr std::string_view kGroupOutput = "Output";

enum class ParseOutcome : uint8_t { kRun, kHelp };

// Sets the values of a command from `arguments` (behind its name), then from the environment.
Result<ParseOutcome> parse_command(const Command& command, const std::vector<std::string>& arguments);

std::string help_of(const Command& command);
std::string help_of_all(const std::vector<Command>& commands);

}  // namespace naru::cli
