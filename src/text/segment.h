// A part of a rendered conversation.
#pragma once

#include <string>
#include <string_view>

namespace naru::text {

// The tags of reasoning: of what an assistant says, the only text that may become control tokens.
inline constexpr std::string_view kThinkOpen = "<think>";
inline constexpr std::string_view kThinkClose = "</think>";

struct Segment {
  std::string text;
  bool is_content = false;  // came from outside: holds no control tokens, whatever it says
};

}  // namespace naru::text
