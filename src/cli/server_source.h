// Answers of a server: for the chat, and for one prompt.
#pragma once

#include "cli/answer_source.h"
#include "cli/server_client.h"

namespace naru::cli {

class ServerSource final : public AnswerSource {
 public:
  // All must outlive it. `form`: of every answer; null: any.
  ServerSource(const RunOptions& options, const ServerClient& client, const text::Form* form)
      : options_(options), client_(client), form_(form) {}

  std::string title() const override;
  ChatSettings settings() const override { return ChatSettings(options_); }
  bool is_raw() const override { return options_.is_raw; }
  int64_t context_tokens() const override { return client_.context_tokens(); }
  std::vector<std::string> offers() const override { return client_.questions(); }
  Status check_system(const std::string&) const override { return {}; }  // its template is not here
  Result<engine::Answer> answer(Conversation& conversation, const ChatSettings& settings, uint32_t sample,
                                AnswerView& view) override;

 private:
  const RunOptions& options_;
  const ServerClient& client_;
  const text::Form* form_;
};

// naru run --server: one answer, or a chat.
Status run_with_server(const RunOptions& options);

}  // namespace naru::cli
