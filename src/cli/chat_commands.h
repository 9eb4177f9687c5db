// The commands of the chat as a table: parsing, help, suggestions and Tab are made from it.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "cli/completion.h"

namespace naru::cli {

enum class ChatVerb : uint8_t { kSystem, kSet, kRetry, kUndo, kSave, kLoad, kClear, kStats, kHelp, kQuit };

struct ChatCommand {
  ChatVerb verb;
  std::string argument;  // what stands behind the command
};

// A line that begins with / is a command; one of several lines is a message, unless the command takes a text.
bool is_chat_command(std::string_view line);
// kInvalidArgument, with a message of one short sentence: no such command (with the nearest one), or something behind
// one that takes nothing.
Result<ChatCommand> parse_chat_command(std::string_view line);

// The name of a file, with --force before or behind it or not at all; -- ends flags. Spaces in it are part of the name.
struct FileArgument {
  std::string path;  // ~/ is the home
  bool is_forced = false;
};
Result<FileArgument> parse_file_argument(std::string_view command, std::string_view argument, bool takes_force);

// What /help prints: commands and keys.
std::string chat_help();

// Of commands, the keys of /set and the names of files; nothing of messages.
Completion complete_chat(std::string_view text, const std::vector<std::string>& setting_names);

}  // namespace naru::cli
