#include "cli/chat_commands.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "base/home.h"
#include "base/nearest.h"
#include "base/shown_text.h"
#include "formats/utf8.h"

namespace naru::cli {
namespace fs = std::filesystem;
namespace {

enum class Takes : uint8_t { kNothing, kText, kFile, kSetting };

struct CommandRow {
  ChatVerb verb;
  std::string_view name;
  std::string_view argument;  // as help calls it
  Takes takes;
  std::string_view meaning;
};

constexpr CommandRow kCommands[] = {
    {ChatVerb::kSystem, "/system", "[TEXT]", Takes::kText,
     "instructions to the model; alone shows them, \"\" ends them"},
    {ChatVerb::kSet, "/set", "[KEY VALUE]", Takes::kSetting, "how tokens are chosen; alone shows all, and where from"},
    {ChatVerb::kRetry, "/retry", "", Takes::kNothing, "the last answer again: another one of the same seed"},
    {ChatVerb::kUndo, "/undo", "", Takes::kNothing, "takes the last message and its answer back"},
    {ChatVerb::kSave, "/save", "FILE", Takes::kFile, "the conversation as JSON; --force replaces a file"},
    {ChatVerb::kLoad, "/load", "FILE", Takes::kFile, "goes on with a conversation from a file"},
    {ChatVerb::kClear, "/clear", "", Takes::kNothing, "forgets the conversation"},
    {ChatVerb::kStats, "/stats", "", Takes::kNothing, "numbers of the last answer, how full the context is"},
    {ChatVerb::kHelp, "/help", "", Takes::kNothing, "this list"},
    {ChatVerb::kQuit, "/quit", "", Takes::kNothing, "leave (Ctrl-D too)"},
};

constexpr std::pair<std::string_view, ChatVerb> kOtherNames[] = {
    {"/exit", ChatVerb::kQuit}, {"/bye", ChatVerb::kQuit}, {"/?", ChatVerb::kHelp}};

struct KeyRow {
  std::string_view keys, meaning;
};

constexpr KeyRow kKeys[] = {
    {" /...", "with a space before it, / begins a message"},
    {"Ctrl-C", "stops the answer; on an empty line, twice: leave"},
    {"Alt-Enter", "a new line; pasted text keeps its lines"},
    {"Tab", "completes commands, settings, names of files"},
    {"Up, Down", "lines of the message, then messages from before"},
    {"Ctrl-R", "searches those, the newest first; again: older ones"},
    {"Ctrl-A E B F", "to the begin, the end, a character left, right"},
    {"Ctrl-K U W, Y", "kill to the end, the begin, a word; Y puts it back"},
};

std::string_view word_of(std::string_view line) {
  return line.substr(0, line.find_first_of(" \t\n"));
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlank = " \t\n";
  const size_t first = text.find_first_not_of(kBlank);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlank) - first + 1);
}

const CommandRow* find_command(std::string_view name) {
  for (const CommandRow& row : kCommands) {
    if (row.name == name) return &row;
  }
  for (const auto& [other, verb] : kOtherNames) {
    if (other != name) continue;
    return std::find_if(std::begin(kCommands), std::end(kCommands), [v = verb](const auto& r) { return r.verb == v; });
  }
  return nullptr;
}

Error command_error(std::string_view command, std::string_view found, std::string_view next) {
  return {Code::kInvalidArgument, fmt::format("reading the command: {}: {}; {}", command, found, next)};
}

// Names in the folder of `typed` that begin as it does, folders with a / behind. Such alone as can be typed.
std::vector<std::string> file_names(std::string_view typed) {
  constexpr int kEntriesMax = 10000;
  const size_t slash = typed.rfind('/');
  const std::string_view folder = slash == std::string_view::npos ? std::string_view() : typed.substr(0, slash + 1);
  const std::string_view begin = typed.substr(folder.size());
  std::vector<std::string> names;
  std::error_code code;
  int n_seen = 0;
  for (fs::directory_iterator entry(folder.empty() ? "." : with_home(folder), code), end;
       !code && entry != end && n_seen < kEntriesMax; entry.increment(code), ++n_seen) {
    const std::string name = entry->path().filename().string();
    if (!name.starts_with(begin) || (name.starts_with('.') && begin.empty())) continue;
    if (!formats::is_valid_utf8(name) || formats::has_control_characters(name)) continue;
    std::error_code ignored;
    names.push_back(std::string(folder) + name + (entry->is_directory(ignored) ? "/" : ""));
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace

bool is_chat_command(std::string_view line) {
  if (!line.starts_with('/')) return false;
  if (line.find('\n') == std::string_view::npos) return true;
  const CommandRow* row = find_command(word_of(line));
  return row != nullptr && row->takes == Takes::kText;
}

Result<ChatCommand> parse_chat_command(std::string_view line) {
  const std::string_view name = word_of(line);
  const std::string_view argument = trimmed(line.substr(name.size()));
  const CommandRow* row = find_command(name);
  if (row == nullptr) {
    std::vector<std::string_view> names;
    for (const CommandRow& command : kCommands) names.push_back(command.name);
    const auto near = nearest(name, names);
    return Error{Code::kInvalidArgument, fmt::format("there is no {}; {}", without_controls_on_one_line(name),
                                                     near ? fmt::format("did you mean {}?", *near) : "see /help")};
  }
  if (row->takes == Takes::kNothing && !argument.empty()) {
    return Error{Code::kInvalidArgument, fmt::format("{} takes nothing behind it, '{}' was given", row->name,
                                                     without_controls_on_one_line(argument))};
  }
  return ChatCommand{row->verb, std::string(argument)};
}

Result<FileArgument> parse_file_argument(std::string_view command, std::string_view argument, bool takes_force) {
  constexpr std::string_view kForce = "--force", kEnd = "--";
  FileArgument file;
  const auto is_word = [&argument](std::string_view word) {
    return argument == word || (argument.starts_with(word) && argument[word.size()] == ' ');
  };
  bool is_ended = false;
  while (!is_ended && argument.starts_with(kEnd)) {
    const std::string_view word = word_of(argument);
    is_ended = is_word(kEnd);
    if (!is_ended && !(takes_force && is_word(kForce))) {
      return command_error(command, fmt::format("it has no flag '{}'", without_controls_on_one_line(word)),
                           takes_force ? "it has --force; -- before a name ends flags"
                                       : "give the name of a file; -- before it ends flags");
    }
    if (!is_ended) file.is_forced = true;
    argument = trimmed(argument.substr(word.size()));
  }
  if (!is_ended && takes_force && argument.ends_with(" --force")) {
    file.is_forced = true;
    argument = trimmed(argument.substr(0, argument.size() - kForce.size()));
  }
  if (argument.empty()) {
    return command_error(command, "the name of a file is missing", fmt::format("for example: {} talk.jsonl", command));
  }
  file.path = with_home(argument);
  return file;
}

std::string chat_help() {
  std::string text;
  for (const CommandRow& row : kCommands) {
    text += fmt::format("  {:<19}  {}\n", fmt::format("{} {}", row.name, row.argument), row.meaning);
  }
  for (const KeyRow& row : kKeys) text += fmt::format("  {:<19}  {}\n", row.keys, row.meaning);
  return text;
}

Completion complete_chat(std::string_view text, const std::vector<std::string>& setting_names) {
  Completion completion;
  if (!text.starts_with('/') || text.find('\n') != std::string_view::npos) return completion;
  const std::string_view name = word_of(text);
  if (name.size() == text.size()) {
    for (const CommandRow& row : kCommands) {
      if (row.name.starts_with(name))
        completion.words.push_back(std::string(row.name) + (row.argument.empty() ? "" : " "));
    }
    return completion;
  }
  const CommandRow* row = find_command(name);
  const size_t begin = std::min(text.find_first_not_of(" \t", name.size()), text.size());
  if (row == nullptr) return completion;
  if (row->takes == Takes::kSetting && text.find_first_of(" \t", begin) == std::string_view::npos) {
    completion.begin = begin;
    for (const std::string& key : setting_names) {
      if (key.starts_with(text.substr(begin))) completion.words.push_back(key + " ");
    }
  } else if (row->takes == Takes::kFile) {
    constexpr std::string_view kForce = "--force ";
    completion.begin = text.substr(begin).starts_with(kForce) ? begin + kForce.size() : begin;
    completion.words = file_names(text.substr(completion.begin));
  }
  return completion;
}

}  // namespace naru::cli
