// AnswerSource: who answers in a chat: the model of this process (engine_source.h), or a server (server_source.h).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cli/chat_settings.h"
#include "cli/conversation.h"
#include "cli/generate.h"

namespace naru::cli {

class AnswerSource {
 public:
  virtual ~AnswerSource() = default;

  // The line that a chat begins with, without the settings: "model.gguf · 135 M parameters · context 8192".
  virtual std::string title() const = 0;
  virtual ChatSettings settings() const = 0;
  // Each message is a text of its own to continue, and there is no conversation.
  virtual bool is_raw() const = 0;
  // Tokens of a prompt with its answer; 0: not known.
  virtual int64_t context_tokens() const = 0;
  // Messages that a chat may begin with; may be empty.
  virtual std::vector<std::string> offers() const = 0;
  // What would be against this system prompt.
  virtual Status check_system(const std::string& text) const = 0;

  // Answers the last message of the conversation. Old turns that have no room any more leave it (n_left), and that is
  // said. `sample`: which of the answers that the seed has to this prompt. An interrupt ends the answer with reason
  // kAborted.
  virtual Result<engine::Answer> answer(Conversation& conversation, const ChatSettings& settings, uint32_t sample,
                                        AnswerView& view) = 0;
};

// "1 turn", "2 turns"
std::string counted_turns(size_t n);
// Said when turns leave: how many, and what is full.
void say_turns_left(size_t n, const std::string& what_is_full);

}  // namespace naru::cli
