// ReasoningEdges: takes away the white space around the tags of reasoning. The line breaks that a model writes behind
// <think>, before </think> and behind it are its template's and say nothing; clients compare, parse and show content
// that begins with its first word. The tokens, what is counted of them, and an answer without reasoning stay as they
// are.
#pragma once

#include <string>

#include "engine/text_stream.h"

namespace naru::server {

// Where the answer is when a delta of it has come.
struct ReasoningState {
  bool has_reasoned = false;  // reasoning is there or was, and be it empty
  bool is_reasoning = false;  // what comes next is reasoning
  bool is_end = false;        // nothing comes next
};

class ReasoningEdges {
 public:
  // `goes_on`: the answer goes on from words of the client, in whose middle its first white space may stand.
  explicit ReasoningEdges(bool goes_on) : has_begun_reasoning_(goes_on) {}

  // However the answer is cut into deltas, the texts that are left, joined, are the same. White space at the end of
  // reasoning is held back until it is clear that a tag follows; of reasoning that was cut off it is given out.
  void trim(engine::TextDelta& delta, const ReasoningState& state);

 private:
  bool has_begun_reasoning_;
  bool has_begun_content_ = false;
  std::string held_;  // of reasoning
};

}  // namespace naru::server
