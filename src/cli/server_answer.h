// ServerAnswer: the body of a server's answer in OpenAI's form, streamed or whole, as an engine's answer; and its
// errors.
#pragma once

#include <chrono>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "cli/event_lines.h"
#include "cli/generate.h"

namespace naru::cli {

inline constexpr int64_t kWholeAnswerBytesMax = 16 << 20;  // of a body that is no stream

class ServerAnswer {
 public:
  // Its time begins now.
  explicit ServerAnswer(AnswerView& view);

  // Bytes of the body. An error ends the answer: the view's, the server's own in the stream, or what is no answer.
  Status push(std::string_view bytes);
  // The body has ended. kUnavailable: before the answer has. `server` is for messages.
  Result<engine::Answer> finish(const std::string& server);
  // Which one it says that it is of; empty: it does not say.
  const std::string& model() const { return model_; }
  // What there was when it was stopped.
  engine::Answer stopped();

 private:
  enum class Form : uint8_t { kUnknown, kEvents, kWhole };
  Status take(std::string_view json);
  Status take_choice(const nlohmann::json& choice);
  Status take_text(engine::TextDelta delta);
  void take_usage(const nlohmann::json& usage);
  engine::Answer with_times();

  using Clock = std::chrono::steady_clock;
  AnswerView& view_;
  Form form_ = Form::kUnknown;
  EventLines events_;
  std::string whole_, model_;
  engine::Answer answer_;
  bool has_ended_ = false;  // it said why it ends
  Clock::time_point begin_, first_, last_;
  bool has_text_ = false;
};

// What a server says that does not answer: its own message, with what the status means.
Error server_error(const std::string& server, int64_t status, std::string_view body);

}  // namespace naru::cli
