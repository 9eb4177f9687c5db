#include "data/turn.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "text/reasoning.h"

namespace naru::data {
namespace {

using text::kThinkClose;
using text::kThinkOpen;
using text::Segment;

constexpr std::string_view kBlanks = " \t\r\n";

// Rendering must not depend on the day of training: templates that write the date see this one.
std::tm fixed_date() {
  std::tm date{};
  date.tm_year = 125;
  date.tm_mday = 1;
  date.tm_wday = 3;
  return date;
}

std::string_view stripped_left(std::string_view text) {
  return text.substr(std::min(text.find_first_not_of(kBlanks), text.size()));
}

std::string_view stripped(std::string_view text) {
  text = stripped_left(text);
  return text.substr(0, text.find_last_not_of(kBlanks) + 1);
}

std::string_view string_at(const text::Value& message, std::string_view key) {
  const text::Value* value = message.find(key);
  return value && value->as_string() ? std::string_view(*value->as_string()) : std::string_view();
}

bool is_control_word(std::string_view word, const text::Tokenizer& tokenizer) {
  const auto id = tokenizer.find(word);
  return id && tokenizer.is_control(*id);
}

// What a message says before its answer, with the white space that stands around the tags.
struct Reasoning {
  std::string thought;  // between the tags
  std::string answer;   // behind them
  bool is_field = false;
};

std::optional<Reasoning> reasoning_of(const text::Value& message) {
  const std::string_view content = string_at(message, "content");
  for (const std::string_view key : {"reasoning_content", "thinking", "reasoning"}) {
    const text::Value* field = message.find(key);
    if (!field || field->is_null()) continue;  // the first that is there is what templates are given
    const std::string_view said = stripped(string_at(message, key));
    if (said.empty()) break;
    return Reasoning{fmt::format("\n{}\n", said), fmt::format("\n\n{}", stripped_left(content)), true};
  }
  const size_t close = content.find(kThinkClose);
  if (close == std::string_view::npos) return std::nullopt;
  // Answers written behind a prompt that opens reasoning begin without the opening tag.
  std::string_view thought = content.substr(0, close);
  if (stripped_left(thought).starts_with(kThinkOpen)) thought = stripped_left(thought).substr(kThinkOpen.size());
  return Reasoning{std::string(thought), std::string(content.substr(close + kThinkClose.size())), false};
}

// What the engine would give the model.
struct Prompt {
  std::vector<Segment> segments;
  std::string text;              // the same joined
  bool opens_reasoning = false;  // it ends in <think>
};

// Where the turn's own bytes begin: behind the prompt. Where the template writes another prompt than history (opens
// reasoning, say), behind what both share, never inside what was said and never inside the tag that the prompt ends in.
size_t turn_begin(const Prompt& asked, const std::string& text, const std::vector<Segment>& segments) {
  const std::string& prompt = asked.text;
  const size_t limit = std::min(prompt.size(), text.size());
  const auto shared = static_cast<size_t>(
      std::mismatch(prompt.begin(), prompt.begin() + static_cast<ptrdiff_t>(limit), text.begin()).first -
      prompt.begin());
  if (shared == prompt.size()) return shared;
  if (asked.opens_reasoning) {
    const size_t tag = prompt.rfind(kThinkOpen);
    if (shared > tag && shared < tag + kThinkOpen.size()) return tag;
  }
  size_t at = 0;
  for (const Segment& segment : segments) {
    if (segment.is_content && at < shared && shared < at + segment.text.size()) return at;
    at += segment.text.size();
  }
  return shared;
}

// Where the turn ends: behind the last control token after its last content; white space that a template writes behind
// the end of a turn is no part of it. The tags of reasoning end no turn.
void find_turn_end(Turn& turn, const text::Tokenizer& tokenizer) {
  size_t at = 0, content_end = turn.begin;
  for (const Segment& segment : turn.segments) {
    at += segment.text.size();
    if (segment.is_content) content_end = std::max(content_end, at);
  }
  turn.end = turn.text.size();
  const std::vector<Segment> tail = part_of(turn.segments, content_end, turn.text.size());
  const std::vector<int32_t> ids = tokenizer.encode_segments(tail);
  const auto last = std::find_if(ids.rbegin(), ids.rend(), [&](int32_t id) {
    return tokenizer.is_control(id) && tokenizer.piece(id) != kThinkOpen && tokenizer.piece(id) != kThinkClose;
  });
  if (last == ids.rend()) return;
  const std::string_view piece = tokenizer.piece(*last);
  const size_t found = turn.text.rfind(piece);
  if (found == std::string::npos || found < content_end) return;
  turn.has_end_token = true;
  turn.end = found + piece.size();
  turn.text.resize(turn.end);
}

void set_segments(Turn& turn, std::vector<Segment> segments, const text::Tokenizer& tokenizer) {
  turn.segments = std::move(segments);
  turn.text = text::join(turn.segments);
  find_turn_end(turn, tokenizer);
}

// True where the template wrote what the message thought, behind the prompt that the engine would give.
bool has_reasoning(const Turn& turn, const Prompt& prompt, const Reasoning& said) {
  if (!turn.text.starts_with(prompt.text)) return false;
  const std::string_view written = std::string_view(turn.text).substr(turn.begin);
  const std::string_view thought = stripped(said.thought);
  if (!thought.empty()) return count_of(written, thought) > count_of(said.answer, thought);
  return written.find(kThinkClose) != std::string_view::npos || !prompt.opens_reasoning;
}

// The turn as prompt, reasoning and the template's answer. False where the template's words for the answer are not
// found, or where neither the prompt nor the vocabulary knows such reasoning.
bool put_reasoning(Turn& turn, const Prompt& asked, const Reasoning& said, const text::Tokenizer& tokenizer) {
  const std::string& prompt = asked.text;
  const bool is_open = asked.opens_reasoning;
  if (stripped(prompt).ends_with(kThinkClose)) return false;  // the prompt says: no reasoning
  if (said.is_field && !is_open && !is_control_word(kThinkClose, tokenizer)) return false;
  // Of what the template wrote: white space, tags, maybe the reasoning with another beginning, then the answer.
  const std::string_view written = std::string_view(turn.text).substr(turn.begin);
  std::string_view rest = stripped_left(written);
  while (rest.starts_with(kThinkOpen) || rest.starts_with(kThinkClose)) {
    rest = stripped_left(rest.substr(rest.starts_with(kThinkOpen) ? kThinkOpen.size() : kThinkClose.size()));
  }
  const std::string_view written_thought = stripped(said.thought);
  if (!written_thought.empty() && rest.starts_with(written_thought)) {
    const std::string_view behind = stripped_left(rest.substr(written_thought.size()));
    if (behind.starts_with(kThinkClose)) rest = stripped_left(behind.substr(kThinkClose.size()));
  }
  if (!rest.starts_with(stripped(said.answer))) return false;
  const size_t answer_at = turn.begin + (written.size() - rest.size());
  std::string_view thought = said.thought;
  if (is_open) {  // what the prompt has written behind its tag is not written again
    const std::string_view blanks = std::string_view(prompt).substr(prompt.rfind(kThinkOpen) + kThinkOpen.size());
    const size_t n = std::min(blanks.size(), thought.size());
    thought.remove_prefix(static_cast<size_t>(
        std::mismatch(blanks.begin(), blanks.begin() + static_cast<ptrdiff_t>(n), thought.begin()).first -
        blanks.begin()));
  }
  const std::string_view blanks = std::string_view(said.answer).substr(0, said.answer.find_first_not_of(kBlanks));
  std::vector<Segment> segments = asked.segments;
  const auto put = [&](const std::vector<Segment>& part) { segments.insert(segments.end(), part.begin(), part.end()); };
  if (!is_open) put({{std::string(kThinkOpen), false}});
  put(said.is_field ? std::vector<Segment>{{std::string(thought), true}} : text::split_at_tags(thought));
  put({{std::string(kThinkClose), false}, {std::string(blanks), true}});
  put(part_of(turn.segments, answer_at, SIZE_MAX));
  turn.begin = prompt.size();
  turn.has_end_token = false;
  set_segments(turn, std::move(segments), tokenizer);
  return true;
}

}  // namespace

bool is_weightless(const text::Value& message) {
  const text::Value* weight = message.find("weight");
  if (!weight) return false;
  return (weight->as_int() && *weight->as_int() == 0) || (weight->as_double() && *weight->as_double() == 0);
}

int64_t count_of(std::string_view text, std::string_view part) {
  int64_t n = 0;
  for (size_t at = text.find(part); at != std::string_view::npos; at = text.find(part, at + part.size())) ++n;
  return n;
}

Result<std::vector<Segment>> render_messages(const Sample& sample, size_t n_messages, bool add_generation_prompt,
                                             const text::ChatTemplate& chat_template, std::string_view place) {
  text::ChatInput input;
  input.messages.assign(sample.messages.begin(), sample.messages.begin() + static_cast<ptrdiff_t>(n_messages));
  input.tools = sample.tools;
  input.add_generation_prompt = add_generation_prompt;
  input.now = fixed_date();
  auto segments = chat_template.render(input);
  if (segments.ok()) return segments;
  return Error{segments.error().code, fmt::format("reading {}: {}", place, segments.error().message)};
}

std::vector<Segment> part_of(const std::vector<Segment>& segments, size_t begin, size_t end) {
  std::vector<Segment> part;
  size_t at = 0;
  for (const Segment& segment : segments) {
    const size_t from = std::max(begin, at), to = std::min(end, at + segment.text.size());
    if (from < to) part.push_back({segment.text.substr(from - at, to - from), segment.is_content});
    at += segment.text.size();
  }
  return part;
}

Result<Turn> make_turn(const Sample& sample, size_t message, const text::ChatTemplate& chat_template,
                       const text::Tokenizer& tokenizer, std::string_view place) {
  if (message == 0) {
    return Error{
        Code::kInvalidArgument,
        fmt::format("reading {}: messages[0] is the assistant's, a message to answer was wanted before it; put "
                    "a user's message first",
                    place)};
  }
  Prompt prompt;
  NARU_ASSIGN(prompt.segments, render_messages(sample, message, true, chat_template, place));
  NARU_ASSIGN(std::vector<Segment> segments, render_messages(sample, message + 1, false, chat_template, place));
  prompt.text = text::join(prompt.segments);
  prompt.opens_reasoning =
      text::prompt_opens_reasoning(prompt.segments, tokenizer.encode_segments(prompt.segments), tokenizer);
  Turn turn;
  turn.message = message;
  turn.begin = turn_begin(prompt, text::join(segments), segments);
  turn.is_learnt = !is_weightless(sample.messages[message]);
  set_segments(turn, std::move(segments), tokenizer);
  const auto said = reasoning_of(sample.messages[message]);
  if (!said) {
    if (prompt.opens_reasoning && !turn.text.starts_with(prompt.text)) {
      turn.note =
          "learnt as the chat template writes it, and not behind the <think> that its prompt ends in: the message has "
          "no reasoning; give it as reasoning_content, or as <think>...</think> before the answer";
    }
  } else if (!has_reasoning(turn, prompt, *said) && !put_reasoning(turn, prompt, *said, tokenizer)) {
    const std::string_view thought = stripped(said->thought);
    const bool is_written = !thought.empty() && turn.text.find(thought, turn.begin) != std::string::npos;
    turn.note = is_written
                    ? "its reasoning is learnt as the chat template writes it, and not behind the prompt in use, "
                      "which ends in another way"
                    : "its reasoning is not learnt: the chat template takes it out of the assistant's message, or "
                      "writes it in other words";
  }
  return turn;
}

std::string spelt_tags_note(const Sample& sample, const text::Tokenizer& tokenizer) {
  for (const std::string_view tag : {kThinkOpen, kThinkClose}) {
    if (is_control_word(tag, tokenizer)) continue;
    for (const text::Value& message : sample.messages) {
      if (string_at(message, "role") != "assistant") continue;
      if (string_at(message, "content").find(tag) == std::string_view::npos) continue;
      return fmt::format("{} is spelt out in ordinary tokens: the vocabulary has no such token", tag);
    }
  }
  return "";
}

}  // namespace naru::data
