// ServerClient: asks a server that speaks OpenAI's API (naru serve, or another) for chat completions and completions,
// streamed, as `naru run --server` does.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cli/chat_settings.h"
#include "cli/generate.h"
#include "cli/message.h"
#include "cli/options.h"
#include "hub/stream_http.h"

namespace naru::cli {

class ServerClient {
 public:
  // Finds out which model answers, unless --model says. kUnavailable: no server there; kInvalidArgument: an address or
  // a key that is none; and what the server says against the key.
  static Result<ServerClient> connect(const RunOptions& options);

  const std::string& address() const { return shown_; }
  const std::string& model() const { return model_; }
  int64_t context_tokens() const { return context_; }  // 0: it did not say
  // What its model can be asked; none where it does not say.
  std::vector<std::string> questions() const;

  // A prompt: a conversation, or (raw) a text to go on with.
  struct Question {
    std::vector<Message> messages;
    std::string text;
    bool is_raw = false;
    uint32_t sample = 0;               // added to a seed that was given
    const text::Form* form = nullptr;  // that the answer must have; null: any
  };
  // The answer has no ids and no log-probabilities; its times are those seen here. An interrupt ends it with reason
  // kAborted. kOutOfRange: the prompt is longer than the server's context. A whole answer without the form that was
  // asked for is an error.
  Result<engine::Answer> ask(const Question& question, const ChatSettings& settings,
                             const std::vector<std::string>& stop, AnswerView& view) const;

 private:
  ServerClient() = default;
  hub::StreamRequest request_to(std::string_view path) const;
  Status find_model(const RunOptions& options);
  // Which parts of a question the server passed over, and what it warns of: `fields` of its answer's header, each new
  // word once.
  void tell_notes(const std::vector<std::string>& fields, const std::string& answering_model) const;

  std::string base_;         // "http://127.0.0.1:8080/v1"
  std::string unix_socket_;  // empty: none
  std::string shown_;        // how messages call it
  std::string key_;
  bool is_direct_ = false;  // this machine is asked, through no proxy
  std::string model_;
  int64_t context_ = 0;
  mutable std::vector<std::string> told_;  // notes on its answers
};

}  // namespace naru::cli
