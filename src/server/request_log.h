// RequestLog: what the log says of a request that has ended. Never a prompt, an answer or a key.
#pragma once

#include <cstdint>
#include <string>

#include "server/answer_event.h"

namespace naru::server {

struct RequestLog {
  std::string id;        // of the answer; empty where none was begun
  std::string request;   // "POST /v1/chat/completions"
  int status = 0;        // 0: whoever asked left
  std::string key_name;  // empty: nobody in particular
  std::string refused;   // why; empty where it was not
  AnswerUsage usage;
  double first_seconds = 0;  // until the first text; 0: there was none
  double seconds = 0;
};

// One line, without the time of day.
std::string log_text(const RequestLog& log);

}  // namespace naru::server
