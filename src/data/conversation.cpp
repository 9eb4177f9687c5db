#include "data/conversation.h"

#include <fmt/format.h>

#include <algorithm>

#include "data/limits.h"
#include "data/tool_calls.h"
#include "data/turn.h"

namespace naru::data {
namespace {

using text::Segment;

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
    append_part(end, turn.begin, turn.end, turn.is_learnt ? 1 : 0, tokenizer, document);
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

void add_shared_note(const std::string& note, ConversationDocuments& result) {
  if (!note.empty() &&
      std::find(result.shared_notes.begin(), result.shared_notes.end(), note) == result.shared_notes.end()) {
    result.shared_notes.push_back(note);
  }
}

}  // namespace

Result<ConversationDocuments> assistant_documents(Sample sample, const text::ChatTemplate& chat_template,
                                                  const text::Tokenizer& tokenizer, std::string_view place) {
  NARU_TRY(settle_tool_calls(sample, chat_template, place));
  ConversationDocuments result;
  std::vector<Turn> turns;
  int64_t n_bytes = 0, n_turns = 0;
  for (size_t i = 0; i < sample.messages.size(); ++i) {
    if (!is_assistant(sample.messages[i])) continue;
    n_turns += 1;
    if (i == 0 && is_weightless(sample.messages[i])) continue;  // context, like a system message
    NARU_ASSIGN(Turn turn, make_turn(sample, i, chat_template, tokenizer, place));
    n_bytes += static_cast<int64_t>(turn.text.size());
    if (n_bytes > kDataTurnsBytesMax) {
      return Error{Code::kResourceExhausted,
                   fmt::format("reading {}: its turns, each with all before it, come to more than {} bytes; cut the "
                               "conversation into several",
                               place, kDataTurnsBytesMax)};
    }
    if (turn.is_learnt) add_shared_note(turn.note, result);
    turns.push_back(std::move(turn));
  }
  if (n_turns == 0) {
    result.notes.emplace_back("dropped: no message of the assistant, so there is nothing to learn");
    return result;
  }
  while (!turns.empty() && !turns.back().is_learnt) turns.pop_back();  // nobody is taught behind them
  if (turns.empty()) {
    result.notes.emplace_back("dropped: every message of the assistant has weight 0, so there is nothing to learn");
    return result;
  }
  add_shared_note(spelt_tags_note(sample, tokenizer), result);
  add_shared_note(unwritten_note(sample, chat_template, place), result);
  const size_t n_behind = sample.messages.size() - 1 - turns.back().message;
  if (n_behind > 0) {
    result.notes.push_back(fmt::format("{} message{} behind the assistant's last left out: nothing to learn there",
                                       n_behind, n_behind == 1 ? "" : "s"));
  }
  for (size_t i = turns.size(); i-- > 0;) {
    if (!turns[i].is_covered && turns[i].is_learnt) result.documents.push_back(document_of(turns, i, tokenizer));
  }
  std::reverse(result.documents.begin(), result.documents.end());
  if (result.documents.size() > 1) {
    result.notes.push_back(
        fmt::format("made into {} documents: the chat template writes earlier turns in another way than the last",
                    result.documents.size()));
  }
  return result;
}

Result<ConversationDocuments> whole_conversation(Sample sample, const text::ChatTemplate& chat_template,
                                                 const text::Tokenizer& tokenizer, std::string_view place) {
  for (size_t i = 0; i < sample.messages.size(); ++i) {
    if (!is_weightless(sample.messages[i])) continue;
    return Error{
        Code::kInvalidArgument,
        fmt::format("reading {}: messages[{}].weight is 0, and the recipe's kind is pretrain, which learns all "
                    "of a conversation; set kind = \"sft\", or take the weight out",
                    place, i)};
  }
  NARU_TRY(settle_tool_calls(sample, chat_template, place));
  NARU_ASSIGN(const auto segments, render_messages(sample, sample.messages.size(), false, chat_template, place));
  Document document;
  document.ids = tokenizer.encode_segments(segments);
  const auto last =
      std::find_if(document.ids.rbegin(), document.ids.rend(), [&](int32_t id) { return tokenizer.is_control(id); });
  const auto eos = tokenizer.eos_id();
  if (eos && (last == document.ids.rend() || *last != *eos)) document.ids.push_back(*eos);
  document.loss.assign(document.ids.size(), 1);
  if (!document.loss.empty()) document.loss[0] = 0;
  ConversationDocuments result;
  result.documents.push_back(std::move(document));
  add_shared_note(spelt_tags_note(sample, tokenizer), result);
  add_shared_note(unwritten_note(sample, chat_template, place), result);
  return result;
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

}  // namespace naru::data
