// What a hub's refusals mean, as messages that say what to do.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"

namespace naru::hub {

struct Refusal {
  int64_t status = 0;
  std::string error_code;     // of the header X-Error-Code
  std::string error_message;  // of X-Error-Message, or the start of the body
  bool had_token = false;     // the request carried one
  bool is_hub = true;         // not of another host, to which a redirect led
  std::string endpoint;
  std::string origin;  // of who answered
};

// `what` stands behind "pulling " in the message.
Error refusal_error(const std::string& what, const Refusal& refusal);

}  // namespace naru::hub
