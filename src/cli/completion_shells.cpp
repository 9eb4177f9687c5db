// Completion for zsh and fish, from the table of commands.
#include <fmt/format.h>

#include "cli/program.h"

namespace naru::cli {
namespace {

// Inside single quotes of zsh.
std::string zsh_quoted(std::string_view text) {
  std::string out;
  for (const char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out;
}

// A description between the brackets of _arguments, or of _describe.
std::string zsh_described(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == ']' || c == '\\' || c == ':') out += '\\';
    out += c;
  }
  return zsh_quoted(out);
}

// ":FILE:_files", as _arguments has what is wanted.
std::string zsh_wanted(ValueKind kind, std::string_view word) {
  std::string action = " ";
  switch (kind) {
    case ValueKind::kWords:
      action = "(";
      for (const std::string& each : value_words(word)) action += (action.size() > 1 ? " " : "") + each;
      action += ")";
      break;
    case ValueKind::kFile: action = "_files"; break;
    case ValueKind::kFolder: action = "_files -/"; break;
    case ValueKind::kModel: action = "_naru_models"; break;
    case ValueKind::kPulled: action = "_naru_pulled"; break;
    case ValueKind::kCommand: action = "_naru_commands"; break;
    case ValueKind::kSwitch:
    case ValueKind::kWhole:
    case ValueKind::kNumber:
    case ValueKind::kList:
    case ValueKind::kText: break;
  }
  return fmt::format(":{}:{}", zsh_described(word), action);
}

std::string zsh_flag(const Flag& flag) {
  const std::string others =
      flag.is_repeatable
          ? "*"
          : fmt::format("({}{})", flag.dashed(), flag.short_name != 0 ? fmt::format(" -{}", flag.short_name) : "");
  const std::string wanted = flag.value.empty() ? "" : zsh_wanted(value_kind(flag.value), flag.value);
  const std::string behind = fmt::format("[{}]{}", zsh_described(flag.help), wanted);
  std::string text = fmt::format("'{}{}{}{}'", others, flag.dashed(), flag.value.empty() ? "" : "=", behind);
  if (flag.short_name != 0) {
    text += fmt::format(" \\\n        '{}-{}{}{}'", others, flag.short_name, flag.value.empty() ? "" : "+", behind);
  }
  return text;
}

std::string zsh_command(const Command& command) {
  std::string text = fmt::format("    {})\n      _arguments -s -S : \\\n", command.name);
  for (const Flag& flag : command.flags) text += fmt::format("        {} \\\n", zsh_flag(flag));
  for (size_t i = 0; i < command.arguments.size(); ++i) {
    const Argument& argument = command.arguments[i];
    const std::string number = argument.is_repeatable ? "*" : fmt::format("{}", i + 1);
    text += fmt::format("        '{}{}{}' \\\n", number, argument.is_required || argument.is_repeatable ? "" : ":",
                        zsh_wanted(argument.kind(), argument.name));
  }
  return text + "        '(-h --help)'{-h,--help}'[what the command does, its flags and examples]'\n      ;;\n";
}

constexpr std::string_view kZshHead = R"sh(#compdef naru
# zsh completion of naru, made by `naru completion zsh`. Its place is a folder of $fpath, under the name _naru.

_naru_pulled() {
  local -a names
  names=(${(f)"$(_call_program models naru list --names 2>/dev/null)"})
  compadd -a names
}

_naru_models() {
  _alternative 'builtin:built-in model:(builtin)' 'models:pulled model:_naru_pulled' 'files:file:_files'
}

)sh";

// Inside single quotes of fish.
std::string fish_quoted(std::string_view text) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'' || c == '\\') out += '\\';
    out += c;
  }
  return out + "'";
}

// What follows a flag, or (`is_flag` false) stands as an argument.
std::string fish_wanted(ValueKind kind, std::string_view word, bool is_flag) {
  constexpr std::string_view kNames = "'(naru list --names 2>/dev/null)'";
  switch (kind) {
    case ValueKind::kWords: {
      std::string list;
      for (const std::string& each : value_words(word)) list += (list.empty() ? "" : " ") + each;
      return fmt::format(" {}-a {}", is_flag ? "-x " : "", fish_quoted(list));
    }
    case ValueKind::kFile: return is_flag ? " -r -F" : " -F";
    case ValueKind::kFolder: return fmt::format(" {}-a '(__fish_complete_directories)'", is_flag ? "-x " : "");
    case ValueKind::kModel: return fmt::format(" {}-F -a 'builtin {}", is_flag ? "-r " : "", kNames.substr(1));
    case ValueKind::kPulled: return fmt::format(" {}-a {}", is_flag ? "-x " : "", kNames);
    case ValueKind::kCommand: return " -a '$__naru_commands'";
    case ValueKind::kSwitch: return "";
    case ValueKind::kWhole:
    case ValueKind::kNumber:
    case ValueKind::kList:
    case ValueKind::kText: break;
  }
  return is_flag ? " -x" : "";
}

std::string fish_command(const Command& command) {
  std::string text = fmt::format("\ncomplete -c naru -n __fish_use_subcommand -a {} -d {}\n", command.name,
                                 fish_quoted(command.summary));
  const std::string start = fmt::format("complete -c naru -n '__fish_seen_subcommand_from {}'", command.name);
  for (const Argument& argument : command.arguments) {
    const std::string wanted = fish_wanted(argument.kind(), argument.name, false);
    if (!wanted.empty()) text += start + wanted + "\n";
  }
  for (const Flag& flag : command.flags) {
    const std::string letter = flag.short_name != 0 ? fmt::format(" -s {}", flag.short_name) : "";
    text += fmt::format("{} -l {}{}{} -d {}\n", start, flag.long_name, letter,
                        fish_wanted(value_kind(flag.value), flag.value, true), fish_quoted(flag.help));
  }
  return text + start + " -l help -s h -d 'what the command does, its flags and examples'\n";
}

}  // namespace

std::string zsh_completion(const std::vector<Command>& commands) {
  std::string text(kZshHead);
  text += "_naru_commands() {\n  local -a commands\n  commands=(\n";
  for (const Command& command : commands) {
    text += fmt::format("    '{}:{}'\n", command.name, zsh_described(command.summary));
  }
  text += "    'help:what naru does, or a command'\n  )\n  _describe command commands\n}\n\n";
  text += "_naru() {\n  local curcontext=\"$curcontext\" context state state_descr line\n  typeset -A opt_args\n";
  text +=
      "  _arguments -C '(- *)--version[the version and the arithmetic it computes]' '(- *)--help[what naru does]' \\\n"
      "    '1:command:_naru_commands' '*::argument:->argument'\n";
  text += "  [[ $state == argument ]] || return\n  case $words[1] in\n";
  for (const Command& command : commands) text += zsh_command(command);
  return text + "    help) _naru_commands ;;\n  esac\n}\n\n_naru \"$@\"\n";
}

std::string fish_completion(const std::vector<Command>& commands) {
  std::string text =
      "# fish completion of naru, made by `naru completion fish`. Its place: ~/.config/fish/completions/naru.fish\n\n"
      "complete -c naru -f\n"
      "complete -c naru -n __fish_use_subcommand -a help -d 'what naru does, or a command'\n"
      "complete -c naru -n __fish_use_subcommand -l version -d 'the version and the arithmetic it computes'\n"
      "complete -c naru -n __fish_use_subcommand -l help -d 'what naru does'\n";
  text += "\nset -g __naru_commands";
  for (const Command& command : commands) text += " " + command.name;
  text += "\ncomplete -c naru -n '__fish_seen_subcommand_from help' -a '$__naru_commands'\n";
  for (const Command& command : commands) text += fish_command(command);
  return text;
}

}  // namespace naru::cli
