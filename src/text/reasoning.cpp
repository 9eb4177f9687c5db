// See reasoning.h.
#include "text/reasoning.h"

#include <algorithm>

namespace naru::text {
namespace {

constexpr std::string_view kOpen = "<think>";
constexpr std::string_view kClose = "</think>";
constexpr std::string_view kBlanks = " \t\r\n";

// How many bytes at the end of `text` are a beginning of `tag`, but not all of it.
size_t open_end(std::string_view text, std::string_view tag) {
  for (size_t n = std::min(text.size(), tag.size() - 1); n > 0; --n) {
    if (text.ends_with(tag.substr(0, n))) return n;
  }
  return 0;
}

}  // namespace

bool prompt_opens_reasoning(std::string_view prompt) {
  const size_t last = prompt.find_last_not_of(kBlanks);
  return last != std::string_view::npos && prompt.substr(0, last + 1).ends_with(kOpen);
}

std::vector<AnswerPiece> ReasoningSplitter::push(std::string_view text) {
  std::vector<AnswerPiece> pieces;
  held_ += text;
  scan(false, pieces);
  return pieces;
}

std::vector<AnswerPiece> ReasoningSplitter::finish() {
  std::vector<AnswerPiece> pieces;
  scan(true, pieces);
  return pieces;
}

void ReasoningSplitter::scan(bool is_end, std::vector<AnswerPiece>& pieces) {
  const auto give = [&](AnswerPart part, size_t n) {
    if (n > 0) pieces.push_back({part, held_.substr(0, n)});
    held_.erase(0, n);
  };
  if (state_ == State::kStart) {
    const size_t first = std::min(held_.find_first_not_of(kBlanks), held_.size());
    const std::string_view rest = std::string_view(held_).substr(first);
    if (rest.starts_with(kOpen)) {
      give(AnswerPart::kContent, first);
      give(AnswerPart::kTag, kOpen.size());
      state_ = State::kReasoning;
    } else if (is_end || !kOpen.starts_with(rest)) {
      state_ = State::kContent;
    } else {
      return;
    }
  }
  if (state_ == State::kReasoning) {
    const size_t close = held_.find(kClose);
    if (close == std::string::npos) {
      give(AnswerPart::kReasoning, held_.size() - (is_end ? 0 : open_end(held_, kClose)));
      return;
    }
    give(AnswerPart::kReasoning, close);
    give(AnswerPart::kTag, kClose.size());
    state_ = State::kContent;
  }
  give(AnswerPart::kContent, held_.size());
}

}  // namespace naru::text
