// RequestLog: what the log says of a request that has ended. Never an answer or a key; a prompt only where the server
// was told so (ServiceOptions::logs_prompts).
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "server/answer_event.h"
#include "server/refusal.h"

namespace naru::server {

struct RequestLog {
  std::string id;        // of the answer; empty where none was begun
  std::string request;   // "POST /v1/chat/completions"
  std::string model;     // that answered; empty where none was begun
  int status = 0;        // 0: whoever asked left
  std::string key_name;  // empty: nobody in particular
  std::string refused;   // why; empty where it was not
  AnswerUsage usage;
  double first_seconds = 0;  // until the first text; 0: there was none
  double seconds = 0;
  std::optional<std::string> body;  // as it came, cut at kLoggedBodyBytesMax; only where prompts are logged
  int64_t body_bytes = 0;           // of all of it, where `body` is there
};

// One line, without the time of day and without a line break.
std::string log_text(const RequestLog& log);

// One JSON object on one line, with the time (UTC, RFC 3339) and a line break. What there is not is left out.
std::string log_json(const RequestLog& log, std::chrono::system_clock::time_point time);

// Why a request was refused, as the log may say it: messages can quote what was sent.
std::string words_for_log(const Refusal& refusal);

}  // namespace naru::server
