// The defaults file, config.toml: values for flags that neither the command line nor the environment gives, and for the
// variables of the environment that have no flag. It says what suits a machine or a person:
//
//   chip = "cpu"             at the top: the folder of models, the level of the CPU chip, and every flag of the group
//   models = "~/models"      Machine, for all commands that have it
//   [run]                    then a command's own flags, which win over those at the top
//   temperature = 0.5
//
// What decides the bits of a training run stays in its recipe: commands with one take flags of the group Machine alone.
// Every key of the file is checked whenever it is read, those of other commands too.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cli/command.h"

namespace naru::cli {

inline constexpr int64_t kDefaultsBytesMax = 1 << 18;  // bytes of the defaults file

// A setting that has a variable and no flag; a key at the top.
struct PlainSetting {
  std::string_view key;
  std::string_view variable;
  std::string_view value;  // as a flag's
  std::string_view help;
};
std::span<const PlainSetting> plain_settings();

struct Default {
  std::string section;             // a command's name; empty: the top
  std::string key;                 // a flag's name without dashes in front
  std::vector<std::string> texts;  // as the command line would have them
  int64_t line = 0;
  std::string path() const { return section.empty() ? key : section + "." + key; }  // "run.temperature"
};

struct Defaults {
  std::string file;  // as messages name it; empty: there is none
  std::vector<Default> values;
  std::string note;  // why it is not known whether there is one (somebody else's home); empty: it is

  const Default* find(std::string_view section, std::string_view key) const;
  // Of the command's section, else of the top where the flag may stand there.
  const Default* find(const Command& command, const Flag& flag) const;
  // "~/.config/naru/config.toml:3: run.temperature"
  std::string source(const Default& value) const;
};

// Whether the flag may stand in the command's section, and at the top.
bool may_default(const Command& command, const Flag& flag);
bool may_default_for_all(const Flag& flag);

// $NARU_CONFIG (/dev/null: none), else $XDG_CONFIG_HOME/naru/config.toml, else ~/.config/naru/config.toml; it need not
// be there. Nothing where there is no home either.
std::optional<std::filesystem::path> defaults_path();

// The defaults file where there is one; one that $NARU_CONFIG names must be there. Its values are set in `commands`,
// which are for that alone, so that their ranges are checked.
Result<Defaults> read_defaults(std::span<const Command> commands);
Result<Defaults> parse_defaults(std::string_view toml, const std::string& file, std::span<const Command> commands);

// Puts plain settings into the environment, where it does not have them: whoever reads a variable there has them.
void set_variables(const Defaults& defaults);

// The path with ~ in the place of the home folder.
std::string path_from_home(const std::filesystem::path& path);

}  // namespace naru::cli
