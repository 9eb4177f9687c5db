// naru completion: what a shell reads to complete the words of naru, made from the table of commands. Names of pulled
// models are asked for when Tab is pressed (naru list --names). This file has the command, and bash; the other shells
// are in completion_shells.cpp.
#include <fmt/format.h>

#include <functional>
#include <memory>

#include "cli/options.h"
#include "cli/program.h"
#include "cli/terminal.h"

namespace naru::cli {
namespace {

// How _naru_value and _naru_argument say what is wanted.
std::string bash_kind(ValueKind kind, std::string_view word) {
  switch (kind) {
    case ValueKind::kWords: {
      std::string text = "words";
      for (const std::string& each : value_words(word)) text += " " + each;
      return text;
    }
    case ValueKind::kFile: return "file";
    case ValueKind::kFolder: return "folder";
    case ValueKind::kModel: return "model";
    case ValueKind::kPulled: return "pulled";
    case ValueKind::kCommand: return "command";
    case ValueKind::kSwitch:
    case ValueKind::kWhole:
    case ValueKind::kNumber:
    case ValueKind::kList:
    case ValueKind::kText: break;
  }
  return "text";
}

std::string bash_case_of_values(const Command& command) {
  std::string text;
  for (const Flag& flag : command.flags) {
    if (flag.value.empty()) continue;
    std::string names = fmt::format("'{} {}'", command.name, flag.dashed());
    if (flag.short_name != 0) names += fmt::format(" | '{} -{}'", command.name, flag.short_name);
    text += fmt::format("    {}) echo '{}' ;;\n", names, bash_kind(value_kind(flag.value), flag.value));
  }
  return text;
}

std::string bash_case_of_arguments(const Command& command) {
  std::string text;
  for (size_t i = 0; i < command.arguments.size(); ++i) {
    const Argument& argument = command.arguments[i];
    const std::string number = argument.is_repeatable ? "*" : fmt::format("{}", i);
    text += fmt::format("    '{} '{}) echo '{}' ;;\n", command.name, number, bash_kind(argument.kind(), argument.name));
  }
  return text;
}

constexpr std::string_view kBashHead = R"sh(# bash completion of naru, made by `naru completion bash`. For this shell:
#   source <(naru completion bash)

)sh";

// The word under the cursor is taken from the line itself: COMP_WORDS is broken at : and =, which names of models and
// flags have; what of the word lies before the last break is then cut from the replies, as readline keeps it.
// compgen -W would expand what is in a word, so words that are not ours never reach it.
constexpr std::string_view kBashBody = R"sh(# Those of the lines that begin with $1.
_naru_matching() {
  local line
  while IFS= read -r line; do
    if [[ $line == "$1"* ]]; then printf '%s\n' "$line"; fi
  done
}

_naru() {
  local line=${COMP_LINE:0:COMP_POINT} program=$1
  local full=${line##*[[:space:]]} before words=() word command='' expects='' n=0
  before=${line%"$full"}
  read -ra words <<<"$before"
  for word in "${words[@]:1}"; do
    if [[ -z $command ]]; then
      command=$word
    elif [[ -n $expects ]]; then
      expects=''
    elif [[ $word == -* ]]; then
      if [[ $word != *=* && -n $(_naru_value "$command" "$word") ]]; then expects=$word; fi
    else
      n=$((n + 1))
    fi
  done
  local kind='' cur=$full prefix=''
  if [[ -z $command ]]; then
    kind="words $(_naru_commands) help --help --version"
  elif [[ -n $expects ]]; then
    kind=$(_naru_value "$command" "$expects")
  elif [[ $full == --*=* ]]; then
    prefix=${full%%=*}= cur=${full#*=}
    kind=$(_naru_value "$command" "${full%%=*}")
  elif [[ $full == -* ]]; then
    kind="words $(_naru_flags "$command")"
  else
    kind=$(_naru_argument "$command" "$n")
  fi
  COMPREPLY=()
  case $kind in
    command) mapfile -t COMPREPLY < <(compgen -W "$(_naru_commands)" -- "$cur") ;;
    words*) mapfile -t COMPREPLY < <(compgen -W "${kind#words}" -- "$cur") ;;
    model | pulled)
      mapfile -t COMPREPLY < <("${program/#\~/$HOME}" list --names 2>/dev/null | _naru_matching "$cur")
      if [[ $kind == model && builtin == "$cur"* ]]; then COMPREPLY+=(builtin); fi ;;
  esac
  case $kind in
    file | model) mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -f -- "$cur") ;;
    folder) mapfile -t COMPREPLY < <(compgen -d -- "$cur") ;;
  esac
  case $kind in
    file | folder | model) compopt -o filenames 2>/dev/null ;;
  esac
  local cut='' each
  for each in : =; do
    if [[ $COMP_WORDBREAKS == *$each* && $full == *$each* ]]; then
      word=${full%"${full##*"$each"}"}
      if ((${#word} > ${#cut})); then cut=$word; fi
    fi
  done
  for ((n = 0; n < ${#COMPREPLY[@]}; ++n)); do
    word=$prefix${COMPREPLY[n]}
    COMPREPLY[n]=${word#"$cut"}
  done
}

complete -F _naru naru
)sh";

Status completion_command(const std::string& shell) {
  const std::vector<Command> commands = all_commands();
  if (shell == "bash") return write_out(bash_completion(commands));
  return write_out(shell == "zsh" ? zsh_completion(commands) : fish_completion(commands));
}

}  // namespace

std::string bash_completion(const std::vector<Command>& commands) {
  std::string names, flags, values, arguments;
  for (const Command& command : commands) {
    names += command.name + " ";
    std::string list;
    for (const Flag& flag : command.flags) list += flag.dashed() + " ";
    flags += fmt::format("    {}) echo '{}--help' ;;\n", command.name, list);
    values += bash_case_of_values(command);
    arguments += bash_case_of_arguments(command);
  }
  const auto function = [](std::string_view name, std::string_view subject, const std::string& cases) {
    return fmt::format("{}() {{\n  case {} in\n{}  esac\n}}\n\n", name, subject, cases);
  };
  std::string text(kBashHead);
  text += fmt::format("_naru_commands() {{\n  echo '{}'\n}}\n\n", names.substr(0, names.size() - 1));
  text += function("_naru_flags", "$1", flags);
  text += "# What is wanted behind a flag: $1 the command, $2 the flag; nothing where it is a switch.\n";
  text += function("_naru_value", "\"$1 $2\"", values);
  text += "# What is wanted as an argument: $1 the command, $2 its number from 0.\n";
  text += function("_naru_argument", "\"$1 $2\"", "    'help 0') echo 'command' ;;\n" + arguments);
  return text + std::string(kBashBody);
}

Command make_completion() {
  auto shell = std::make_shared<std::string>();
  Command c{.name = "completion",
            .summary = "what a shell reads to complete the words of naru",
            .description =
                "Prints a script by which Tab completes commands, flags, their values, files and the names of pulled "
                "models. A package installs it by itself."};
  c.arguments = {{"bash|zsh|fish", "the shell", true, [shell](const Given& given) -> Status {
                    NARU_TRY(parse_word(given, {"bash", "zsh", "fish"}));
                    *shell = given.text;
                    return {};
                  }}};
  c.examples = {{"source <(naru completion bash)", "In this bash; in ~/.bashrc for every one."},
                {"naru completion zsh > ~/.zfunc/_naru", "For zsh, in a folder of $fpath."},
                {"naru completion fish > ~/.config/fish/completions/naru.fish", "For fish."}};
  c.reads_defaults = false;
  c.run = [shell] { return completion_command(*shell); };
  return c;
}

}  // namespace naru::cli
