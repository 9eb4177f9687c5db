// The form of an answer with reasoning: <think> once, closed once, and something said behind it.
#pragma once

#include <string>
#include <string_view>

namespace naru::rewards {

struct ReasoningForm {
  bool is_kept = false;     // opened once before anything is said, closed once, an answer behind it
  std::string_view answer;  // behind the last closing tag; all of the text where there is none
};

// `tag` is its name, "think". A prompt that ended with the opening tag has opened it: the text then only closes it.
ReasoningForm reasoning_form(std::string_view text, const std::string& tag, bool begins_in_reasoning);

}  // namespace naru::rewards
