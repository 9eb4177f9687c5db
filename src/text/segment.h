// A part of a rendered conversation.
#pragma once

#include <string>

namespace naru::text {

struct Segment {
  std::string text;
  bool is_content = false;  // came from outside: holds no control tokens, whatever it says
};

}  // namespace naru::text
