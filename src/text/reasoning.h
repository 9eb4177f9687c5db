// Tells the reasoning of a model's answer from the answer itself while it streams: <think> ... </think> at the start.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace naru::text {

enum class AnswerPart { kReasoning, kTag, kContent };

struct AnswerPiece {
  AnswerPart part;
  std::string text;  // the pieces' texts, joined, are the text that was pushed
};

// True where a rendered prompt ends inside reasoning that it opened: with the opening tag, maybe with white space
// after.
bool prompt_opens_reasoning(std::string_view prompt);

// Reasoning is what stands between the tags where the answer begins with the opening tag (after white space), or where
// the prompt has opened it. It opens once: a tag further on is content. What might be the beginning of a tag is held
// back until more text decides.
class ReasoningSplitter {
 public:
  explicit ReasoningSplitter(bool starts_in_reasoning = false)
      : state_(starts_in_reasoning ? State::kReasoning : State::kStart) {}

  std::vector<AnswerPiece> push(std::string_view text);
  std::vector<AnswerPiece> finish();  // gives out what was held back

  bool in_reasoning() const { return state_ == State::kReasoning; }

 private:
  enum class State { kStart, kReasoning, kContent };
  void scan(bool is_end, std::vector<AnswerPiece>& pieces);

  State state_;
  std::string held_;
};

}  // namespace naru::text
