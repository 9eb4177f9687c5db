#include "train/data/conversation.h"

#include <fmt/format.h>

#include <algorithm>

#include "train/data/limits.h"

namespace naru::train {
namespace {

using text::Segment;

// Rendering must not depend on the day of training: templates that write the date see this one.
std::tm fixed_date() {
  std::tm date{};
  date.tm_year = 125;
  date.tm_mday = 1;
  date.tm_wday = 3;
  return date;
}

Result<std::vector<Segment>> render(const Sample& sample, size_t n_messages, bool add_generation_prompt,
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

// The bytes [begin, end) of the joined texts, with their marks.
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

struct Turn {
  size_t message = 0;
  std::vector<Segment> segments;  // of the conversation up to and with this turn
  std::string text;               // the same joined, ended at `end`
  size_t begin = 0, end = 0;      // the bytes that the model writes
  bool has_end_token = false;
  bool is_covered = false;
};

// Where the turn's own bytes begin: behind the prompt. Where the template writes another prompt than history (opens
// reasoning, say), behind what both share, and never inside what was said.
size_t turn_begin(const std::string& prompt, const std::string& text, const std::vector<Segment>& segments) {
  const size_t limit = std::min(prompt.size(), text.size());
  const auto shared = static_cast<size_t>(
      std::mismatch(prompt.begin(), prompt.begin() + static_cast<ptrdiff_t>(limit), text.begin()).first -
      prompt.begin());
  if (shared == prompt.size()) return shared;
  size_t at = 0;
  for (const Segment& segment : segments) {
    if (segment.is_content && at < shared && shared < at + segment.text.size()) return at;
    at += segment.text.size();
  }
  return shared;
}

// Where the turn ends: behind the last control token after its last content; white space that a template writes behind
// the end of a turn is no part of it.
void find_turn_end(Turn& turn, const text::Tokenizer& tokenizer) {
  size_t at = 0, content_end = turn.begin;
  for (const Segment& segment : turn.segments) {
    at += segment.text.size();
    if (segment.is_content) content_end = std::max(content_end, at);
  }
  turn.end = turn.text.size();
  const std::vector<Segment> tail = part_of(turn.segments, content_end, turn.text.size());
  const std::vector<int32_t> ids = tokenizer.encode_segments(tail);
  const auto last = std::find_if(ids.rbegin(), ids.rend(), [&](int32_t id) { return tokenizer.is_control(id); });
  if (last == ids.rend()) return;
  const std::string_view piece = tokenizer.piece(*last);
  const size_t found = turn.text.rfind(piece);
  if (found == std::string::npos || found < content_end) return;
  turn.has_end_token = true;
  turn.end = found + piece.size();
  turn.text.resize(turn.end);
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
  NARU_ASSIGN(const std::vector<Segment> prompt, render(sample, message, true, chat_template, place));
  Turn turn;
  turn.message = message;
  NARU_ASSIGN(turn.segments, render(sample, message + 1, false, chat_template, place));
  turn.text = join(turn.segments);
  turn.begin = turn_begin(join(prompt), turn.text, turn.segments);
  find_turn_end(turn, tokenizer);
  return turn;
}

bool is_assistant(const text::Value& message) {
  return *message.find("role")->as_string() == "assistant";
}

void append_part(const Turn& turn, size_t begin, size_t end, uint8_t loss, const text::Tokenizer& tokenizer,
                 Document& document) {
  const std::vector<int32_t> ids = tokenizer.encode_segments(part_of(turn.segments, begin, end));
  document.ids.insert(document.ids.end(), ids.begin(), ids.end());
  document.loss.resize(document.ids.size(), loss);
}

// The document that ends with turns[last]: earlier turns whose text it repeats count in it too, unless they were
// counted already.
Document document_of(std::vector<Turn>& turns, size_t last, const text::Tokenizer& tokenizer) {
  const Turn& end = turns[last];
  Document document;
  size_t at = 0;
  for (size_t i = 0; i <= last; ++i) {
    Turn& turn = turns[i];
    if (turn.is_covered || turn.begin < at || !end.text.starts_with(turn.text)) continue;
    append_part(end, at, turn.begin, 0, tokenizer, document);
    append_part(end, turn.begin, turn.end, 1, tokenizer, document);
    turn.is_covered = true;
    at = turn.end;
  }
  if (!end.has_end_token && tokenizer.eos_id()) {
    document.ids.push_back(*tokenizer.eos_id());
    document.loss.push_back(1);
  }
  if (!document.loss.empty()) document.loss[0] = 0;
  return document;
}

}  // namespace

Result<ConversationDocuments> assistant_documents(const Sample& sample, const text::ChatTemplate& chat_template,
                                                  const text::Tokenizer& tokenizer, std::string_view place) {
  ConversationDocuments result;
  std::vector<Turn> turns;
  int64_t n_bytes = 0;
  for (size_t i = 0; i < sample.messages.size(); ++i) {
    if (!is_assistant(sample.messages[i])) continue;
    NARU_ASSIGN(Turn turn, make_turn(sample, i, chat_template, tokenizer, place));
    n_bytes += static_cast<int64_t>(turn.text.size());
    if (n_bytes > kDataTurnsBytesMax) {
      return Error{Code::kResourceExhausted,
                   fmt::format("reading {}: its turns, each with all before it, come to more than {} bytes; cut the "
                               "conversation into several",
                               place, kDataTurnsBytesMax)};
    }
    turns.push_back(std::move(turn));
  }
  if (turns.empty()) {
    result.notes.emplace_back("dropped: no message of the assistant, so there is nothing to learn");
    return result;
  }
  const size_t n_behind = sample.messages.size() - 1 - turns.back().message;
  if (n_behind > 0) {
    result.notes.push_back(fmt::format("{} message{} behind the assistant's last left out: nothing to learn there",
                                       n_behind, n_behind == 1 ? "" : "s"));
  }
  for (size_t i = turns.size(); i-- > 0;) {
    if (!turns[i].is_covered) result.documents.push_back(document_of(turns, i, tokenizer));
  }
  std::reverse(result.documents.begin(), result.documents.end());
  if (result.documents.size() > 1) {
    result.notes.push_back(
        fmt::format("made into {} documents: the chat template writes earlier turns in another way than the last",
                    result.documents.size()));
  }
  return result;
}

Result<Document> whole_conversation(const Sample& sample, const text::ChatTemplate& chat_template,
                                    const text::Tokenizer& tokenizer, std::string_view place) {
  NARU_ASSIGN(const auto segments, render(sample, sample.messages.size(), false, chat_template, place));
  Document document;
  document.ids = tokenizer.encode_segments(segments);
  const auto last =
      std::find_if(document.ids.rbegin(), document.ids.rend(), [&](int32_t id) { return tokenizer.is_control(id); });
  const auto eos = tokenizer.eos_id();
  if (eos && (last == document.ids.rend() || *last != *eos)) document.ids.push_back(*eos);
  document.loss.assign(document.ids.size(), 1);
  if (!document.loss.empty()) document.loss[0] = 0;
  return document;
}

void append_content(std::string_view text, const text::Tokenizer& tokenizer, Document& document) {
  const Segment segment{std::string(text), true};
  const std::vector<int32_t> ids = tokenizer.encode_segments({&segment, 1});
  document.ids.insert(document.ids.end(), ids.begin(), ids.end());
}

void finish_text(const text::Tokenizer& tokenizer, Document& document) {
  if (const auto eos = tokenizer.eos_id()) document.ids.push_back(*eos);
  document.loss.assign(document.ids.size(), 1);
  if (!document.loss.empty()) document.loss[0] = 0;
}

Document text_document(std::string_view text, const text::Tokenizer& tokenizer) {
  Document document;
  document.ids = tokenizer.prefix_ids();
  append_content(text, tokenizer, document);
  finish_text(tokenizer, document);
  return document;
}

}  // namespace naru::train
