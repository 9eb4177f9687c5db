// Conversation: what was said in a chat, by turns (a message of the user's and its answer), and the same as a file: one
// line of JSON, {"messages": [...]}, as data/sample.h reads it for training.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "base/result.h"
#include "cli/message.h"

namespace naru::cli {

struct ChatTurn {
  std::string question;
  std::optional<std::string> answer = {};
  std::string reasoning = {};  // of the answer
  uint32_t sample = 0;         // which of the answers that the seed has to its prompt
  size_t n_left_before = 0;    // turns that had left when this one began
};

struct Conversation {
  std::optional<std::string> system;
  std::vector<ChatTurn> turns;  // those too that left the context
  size_t n_left = 0;            // the oldest turns that the model is not shown any more

  bool empty() const { return turns.empty(); }
  // What the model is shown where the `n` oldest turns are left out.
  std::vector<Message> messages_without(size_t n) const;
};

// The whole conversation on one line, turns that left too. More messages than a file may have are left out at the
// front: `n_left_out` says how many turns.
std::string conversation_text(const Conversation& conversation, size_t* n_left_out);

// `name` is for messages. kCorrupt and kInvalidArgument as parse_sample() has them; kUnsupported for what no chat can
// go on with: tools, roles other than system, user and assistant, an answer without a message before it.
Result<Conversation> parse_conversation(std::string_view text, std::string_view name);

// An existing file is refused unless `existing` says otherwise.
Status save_conversation(const Conversation& conversation, const std::filesystem::path& path, Existing existing,
                         size_t* n_left_out);
Result<Conversation> load_conversation(const std::filesystem::path& path);

}  // namespace naru::cli
