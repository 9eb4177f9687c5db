// Command: one verb of the program as a table: its arguments, its flags, its examples and what it does. Parsing, help,
// suggestions, the names in the environment, the keys of the defaults file, completion and man pages are all made from
// this table.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/values.h"

namespace naru::cli {

struct Defaults;

// What a value is, as the word says by which help calls it.
enum class ValueKind : uint8_t {
  kSwitch,   // no word
  kWhole,    // N, SECONDS
  kNumber,   // X, WEIGHT
  kWords,    // on|off: one of these; KIND: of a GGUF file
  kList,     // LIST: whole numbers
  kFile,     // FILE, PATH, OUT, RECIPE
  kFolder,   // FOLDER
  kModel,    // MODEL, ADAPTER: a path, or the name of a pulled model
  kPulled,   // PULLED: the name of one
  kCommand,  // COMMAND: of naru
  kText,     // any other
};
ValueKind value_kind(std::string_view word);
// Of "on|off": on, off; of any other word: none.
std::vector<std::string> value_words(std::string_view word);

struct Flag {
  std::string long_name;   // "threads"
  std::string value;       // how help calls the value, which says what it is (ValueKind): "N"; empty: a switch
  std::string_view group;  // the heading in help
  std::string help;
  std::function<Status(const Given&)> set;  // a switch gets "on"
  char short_name = 0;                      // 't'
  bool is_repeatable = false;
  bool has_environment = true;  // may come from NARU_LONG_NAME and the defaults file too; the command line wins
  bool has_list = false;        // the value kListWord on the command line lists what there is and runs nothing

  std::string dashed() const { return "--" + long_name; }
  std::string environment() const;
};

inline constexpr std::string_view kListWord = "list";

struct Argument {
  std::string name;  // "MODEL"
  std::string help;
  bool is_required = true;
  std::function<Status(const Given&)> set;
  bool is_repeatable = false;  // takes all words that are left; the last argument only

  ValueKind kind() const { return value_kind(name == "NAME" ? "PULLED" : name); }
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
  bool has_recipe = false;     // a recipe decides its bits: the defaults file gives it flags of kGroupMachine alone
  bool reads_defaults = true;  // false: it works also where the defaults file is wrong, and says so itself
};

// Headings of groups of flags, in the order that help shows them.
inline constexpr std::string_view kGroupAnswer = "Answer";
inline constexpr std::string_view kGroupSampling = "Sampling";
inline constexpr std::string_view kGroupInput = "Input and output";
inline constexpr std::string_view kGroupBench = "Measuring";
inline constexpr std::string_view kGroupProblems = "Problems";
inline constexpr std::string_view kGroupText = "Text";
inline constexpr std::string_view kGroupTokenizer = "Training a tokenizer";
inline constexpr std::string_view kGroupNumbers = "Numbers (each choice has its own numerics id)";
inline constexpr std::string_view kGroupMachine = "Machine (no flag here changes a bit)";
inline constexpr std::string_view kGroupNetwork = "Network";
inline constexpr std::string_view kGroupServer = "Asking a server";
inline constexpr std::string_view kGroupOutput = "Output";

// Where the value of a flag came from: the first of these that has one.
enum class Origin : uint8_t { kCommandLine, kEnvironment, kDefaults, kNowhere };

struct Setting {
  Origin origin = Origin::kNowhere;
  std::vector<Given> given;  // several where the flag is repeatable; of a switch "on" or "off"
};

// What the flag gets where the command line does not say.
Setting setting_of(const Command& command, const Flag& flag, const Defaults& defaults);

enum class ParseOutcome : uint8_t { kRun, kHelp, kChipList };

// Sets the values of a command from `arguments` (behind its name), else from the environment, else from `defaults`;
// nothing where help or a list is asked for. An error in any of them is kInvalidArgument. `settings`, where it is asked
// for, gets a setting for each flag.
Result<ParseOutcome> parse_command(const Command& command, const std::vector<std::string>& arguments,
                                   const Defaults& defaults, std::vector<Setting>* settings = nullptr);

std::string help_of(const Command& command);
std::string help_of_all(const std::vector<Command>& commands);

}  // namespace naru::cli
