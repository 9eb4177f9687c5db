#include "rewards/reasoning_form.h"

#include <cstdint>

#include "rewards/answers.h"

namespace naru::rewards {
namespace {

int64_t times(std::string_view text, std::string_view part) {
  int64_t n = 0;
  for (size_t at = text.find(part); at != std::string_view::npos; at = text.find(part, at + part.size())) ++n;
  return n;
}

}  // namespace

ReasoningForm reasoning_form(std::string_view text, const std::string& tag, bool begins_in_reasoning) {
  const std::string open = "<" + tag + ">", close = "</" + tag + ">";
  ReasoningForm form;
  const size_t end = text.rfind(close);
  form.answer = end == std::string_view::npos ? text : text.substr(end + close.size());
  const bool is_opened =
      begins_in_reasoning ? times(text, open) == 0 : times(text, open) == 1 && trimmed(text).starts_with(open);
  form.is_kept = is_opened && times(text, close) == 1 && !trimmed(form.answer).empty();
  return form;
}

}  // namespace naru::rewards
