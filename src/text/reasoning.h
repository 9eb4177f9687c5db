// Tells the reasoning of a model's answer from the answer itself while it streams: <think> ... </think> at the start.
//
// Where the vocabulary has a tag as a token of its own, that token alone is the tag: a model that spells the same
// characters in other tokens has begun or ended nothing. Without such a token the characters are the only sign.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "text/segment.h"
#include "text/tokenizer.h"

namespace naru::text {

enum class AnswerPart { kReasoning, kTag, kContent };

struct AnswerPiece {
  AnswerPart part;
  std::string text;  // the pieces' texts, joined, are the text that was pushed
};

// The tokens of the tags: control tokens, which no spelling becomes. Nothing where the vocabulary has none.
struct ReasoningTokens {
  std::optional<int32_t> open;
  std::optional<int32_t> close;
};
ReasoningTokens reasoning_tokens(const Tokenizer& tokenizer);

// True where a rendered prompt ends inside reasoning that its template opened: with the opening tag, maybe with white
// space after. A tag that a message spells opens nothing. `ids` are those of the segments.
bool prompt_opens_reasoning(std::span<const Segment> segments, std::span<const int32_t> ids,
                            const Tokenizer& tokenizer);

// Reasoning is what stands between the tags where the answer begins with the opening tag (after white space), or where
// the prompt has opened it. It opens once: a tag further on is content. What might be the beginning of a tag is held
// back until more text decides.
class ReasoningSplitter {
 public:
  explicit ReasoningSplitter(bool starts_in_reasoning = false, const ReasoningTokens& tokens = {})
      : state_(starts_in_reasoning ? State::kReasoning : State::kStart),
        open_is_token_(tokens.open.has_value()),
        close_is_token_(tokens.close.has_value()) {}

  std::vector<AnswerPiece> push(std::string_view text);
  // The token of a tag, with its text.
  std::vector<AnswerPiece> push_tag(std::string_view tag);
  // Outside of reasoning: what comes now is content, whatever it says. Gives out what was held back.
  std::vector<AnswerPiece> begin_content();
  std::vector<AnswerPiece> finish();  // gives out what was held back

  bool in_reasoning() const { return state_ == State::kReasoning; }

 private:
  enum class State { kStart, kReasoning, kContent };
  void give(AnswerPart part, size_t n, std::vector<AnswerPiece>& pieces);
  void scan(bool is_end, std::vector<AnswerPiece>& pieces);

  State state_;
  bool open_is_token_;
  bool close_is_token_;
  std::string held_;
};

}  // namespace naru::text
