// Message: what one side of a conversation said.
#pragma once

#include <string>

namespace naru::cli {

struct Message {
  std::string role;  // "system", "user", "assistant"
  std::string content;
};

}  // namespace naru::cli
