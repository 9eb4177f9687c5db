// See reasoning.h.
#include "text/reasoning.h"

#include <algorithm>

namespace naru::text {
namespace {

constexpr std::string_view kBlanks = " \t\r\n";

// How many bytes at the end of `text` are a beginning of `tag`, but not all of it.
size_t open_end(std::string_view text, std::string_view tag) {
  for (size_t n = std::min(text.size(), tag.size() - 1); n > 0; --n) {
    if (text.ends_with(tag.substr(0, n))) return n;
  }
  return 0;
}

}  // namespace

ReasoningTokens reasoning_tokens(const Tokenizer& tokenizer) {
  const auto token_of = [&](std::string_view tag) {
    const std::optional<int32_t> id = tokenizer.find(tag);
    return id && tokenizer.is_control(*id) ? id : std::nullopt;
  };
  return {token_of(kThinkOpen), token_of(kThinkClose)};
}

bool prompt_opens_reasoning(std::span<const Segment> segments, std::span<const int32_t> ids,
                            const Tokenizer& tokenizer) {
  if (const auto open = reasoning_tokens(tokenizer).open) {
    for (size_t i = ids.size(); i > 0; --i) {
      if (ids[i - 1] == *open) return true;
      if (tokenizer.piece(ids[i - 1]).find_first_not_of(kBlanks) != std::string_view::npos) return false;
    }
    return false;
  }
  // The template's own text at the end, back to what came from outside.
  std::string own;
  for (size_t i = segments.size(); i > 0 && !segments[i - 1].is_content; --i) own.insert(0, segments[i - 1].text);
  const size_t last = own.find_last_not_of(kBlanks);
  return last != std::string::npos && std::string_view(own).substr(0, last + 1).ends_with(kThinkOpen);
}

std::vector<AnswerPiece> ReasoningSplitter::push(std::string_view text) {
  std::vector<AnswerPiece> pieces;
  held_ += text;
  scan(false, pieces);
  return pieces;
}

std::vector<AnswerPiece> ReasoningSplitter::push_tag(std::string_view tag) {
  std::vector<AnswerPiece> pieces;
  const bool opens =
      state_ == State::kStart && tag == kThinkOpen && held_.find_first_not_of(kBlanks) == std::string::npos;
  const bool closes = state_ == State::kReasoning && tag == kThinkClose;
  if (!opens && !closes) return push(tag);
  give(opens ? AnswerPart::kContent : AnswerPart::kReasoning, held_.size(), pieces);
  held_ = tag;
  give(AnswerPart::kTag, held_.size(), pieces);
  state_ = opens ? State::kReasoning : State::kContent;
  return pieces;
}

std::vector<AnswerPiece> ReasoningSplitter::begin_content() {
  std::vector<AnswerPiece> pieces;
  if (state_ == State::kReasoning) return pieces;
  give(AnswerPart::kContent, held_.size(), pieces);
  state_ = State::kContent;
  return pieces;
}

std::vector<AnswerPiece> ReasoningSplitter::finish() {
  std::vector<AnswerPiece> pieces;
  scan(true, pieces);
  return pieces;
}

// The first n bytes that are held.
void ReasoningSplitter::give(AnswerPart part, size_t n, std::vector<AnswerPiece>& pieces) {
  if (n > 0) pieces.push_back({part, held_.substr(0, n)});
  held_.erase(0, n);
}

void ReasoningSplitter::scan(bool is_end, std::vector<AnswerPiece>& pieces) {
  if (state_ == State::kStart) {
    const size_t first = std::min(held_.find_first_not_of(kBlanks), held_.size());
    const std::string_view rest = std::string_view(held_).substr(first);
    const bool may_open = open_is_token_ ? rest.empty() : kThinkOpen.starts_with(rest);
    if (!open_is_token_ && rest.starts_with(kThinkOpen)) {
      give(AnswerPart::kContent, first, pieces);
      give(AnswerPart::kTag, kThinkOpen.size(), pieces);
      state_ = State::kReasoning;
    } else if (is_end || !may_open) {
      state_ = State::kContent;
    } else {
      return;
    }
  }
  if (state_ == State::kReasoning) {
    const size_t close = close_is_token_ ? std::string::npos : held_.find(kThinkClose);
    if (close == std::string::npos) {
      const size_t n_open = is_end || close_is_token_ ? 0 : open_end(held_, kThinkClose);
      give(AnswerPart::kReasoning, held_.size() - n_open, pieces);
      return;
    }
    give(AnswerPart::kReasoning, close, pieces);
    give(AnswerPart::kTag, kThinkClose.size(), pieces);
    state_ = State::kContent;
  }
  give(AnswerPart::kContent, held_.size(), pieces);
}

}  // namespace naru::text
