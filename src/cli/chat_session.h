// ChatSession: the model's side of a chat: the conversation, how its answers are chosen, and asking for them. What a
// person is told beside the answers is written to standard error.
#pragma once

#include <string>
#include <string_view>

#include "cli/answer_source.h"

namespace naru::cli {

// A dimmed line.
void say_dimmed(std::string_view text);
// The message of an error, as the program's own.
void say_error(const Error& error);

class ChatSession {
 public:
  // Both must outlive it.
  ChatSession(const RunOptions& options, AnswerSource& source);

  // Answers a message. What fails is said and costs the message, not the chat; errors are those that end it.
  Status ask(const std::string& question);
  // Answers the last message again: the next of the answers that the seed has to this prompt (engine::Request::sample).
  Status retry();
  void undo();
  void clear();

  // Sets or, empty, takes away the system prompt. kUnsupported without a template, and what the template says against
  // it.
  Status set_system(const std::string& text);
  Status save(const std::string& path, Existing existing);
  Status load(const std::string& path);

  const Conversation& conversation() const { return conversation_; }
  ChatSettings& settings() { return settings_; }
  // Lines about the last answer and the context.
  std::string stats() const;

 private:
  // False where it failed and that was said.
  Result<bool> answer_last(uint32_t sample);
  Result<engine::Answer> make_answer(uint32_t sample);
  void say_how_it_ended(const engine::Answer& answer) const;
  Status require_template(std::string_view command) const;

  const RunOptions& options_;
  AnswerSource& source_;
  bool is_raw_;
  ChatSettings settings_;
  Conversation conversation_;
  std::string last_stats_;
  int64_t n_context_ = 0;
};

}  // namespace naru::cli
