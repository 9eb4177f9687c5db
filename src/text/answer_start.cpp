// See answer_start.h.
#include "text/answer_start.h"

#include "text/reasoning.h"

namespace naru::text {
namespace {

constexpr std::string_view kBlank = " \t\r\n";

// How the template's own text at the end of a conversation leaves reasoning.
enum class TailState : uint8_t { kNothing, kOpened, kClosed };
struct Tail {
  TailState state = TailState::kNothing;
  bool has_line_break = false;  // behind the tag
};

Tail tail_of(const std::vector<Segment>& segments) {
  if (segments.empty() || segments.back().is_content) return {};
  const std::string_view text = segments.back().text;
  const size_t n = text.find_last_not_of(kBlank) + 1;
  const std::string_view words = text.substr(0, n);
  const bool has_line_break = text.substr(n).find('\n') != std::string_view::npos;
  if (words.ends_with(kThinkOpen)) return {TailState::kOpened, has_line_break};
  if (words.ends_with(kThinkClose)) return {TailState::kClosed, has_line_break};
  return {};
}

// Neighbours differ in is_content, and none is empty.
void append_text(std::vector<Segment>& segments, std::string_view text, bool is_content) {
  if (text.empty()) return;
  if (!segments.empty() && segments.back().is_content == is_content) {
    segments.back().text += text;
  } else {
    segments.push_back({std::string(text), is_content});
  }
}

enum class Spelled : uint8_t { kNothing, kOpen, kClosed };

// "<think>a</think>b" as its two parts; kNothing where the content does not begin with the tag.
Spelled part_spelled_reasoning(AnswerStart& start) {
  const size_t first = start.content.find_first_not_of(kBlank);
  if (first == std::string::npos || !std::string_view(start.content).substr(first).starts_with(kThinkOpen)) {
    return Spelled::kNothing;
  }
  std::string rest = start.content.substr(first + kThinkOpen.size());
  const size_t close = rest.find(kThinkClose);
  start.reasoning = rest.substr(0, close);
  start.content = close == std::string::npos ? "" : rest.substr(close + kThinkClose.size());
  return close == std::string::npos ? Spelled::kOpen : Spelled::kClosed;
}

}  // namespace

Result<bool> append_answer_start(AnswerStart start, const Tokenizer& tokenizer, std::vector<Segment>& segments) {
  const Tail tail = tail_of(segments);
  const ReasoningTokens tags = reasoning_tokens(tokenizer);
  const bool is_opened = tail.state == TailState::kOpened;
  const bool can_open = tail.state == TailState::kNothing && tags.open && tags.close;
  Spelled spelled = Spelled::kNothing;
  if (start.reasoning.empty() && (is_opened || can_open)) spelled = part_spelled_reasoning(start);
  const bool has_reasoning = !start.reasoning.empty() || spelled != Spelled::kNothing;
  if (has_reasoning && tail.state == TailState::kClosed) {
    return Error{
        Code::kInvalidArgument,
        "continuing the last message: it has reasoning, and the model's template has ended that of this answer "
        "already; switch reasoning on, or send the message without"};
  }
  if (has_reasoning && !is_opened && !can_open) {
    return Error{Code::kUnsupported,
                 "continuing the last message: it has reasoning, and neither the model's template nor its vocabulary "
                 "has tags for it; send the message without"};
  }
  const bool has_lines = is_opened ? tail.has_line_break : true;
  if (has_reasoning) {
    std::string_view reasoning = start.reasoning;
    if (is_opened) {
      if (has_lines && reasoning.starts_with('\n')) reasoning.remove_prefix(1);  // stands there already
    } else {
      append_text(segments, kThinkOpen, false);
      if (!reasoning.starts_with('\n')) append_text(segments, "\n", false);
    }
    append_text(segments, reasoning, true);
  }
  const bool is_open = is_opened || has_reasoning;
  if (start.content.empty() && spelled != Spelled::kClosed) return is_open;
  if (is_open) {
    if (has_lines && !start.reasoning.ends_with('\n')) append_text(segments, "\n", false);
    append_text(segments, kThinkClose, false);
    if (has_lines && !start.content.starts_with('\n')) append_text(segments, "\n\n", false);
  }
  append_text(segments, start.content, true);
  return false;
}

}  // namespace naru::text
