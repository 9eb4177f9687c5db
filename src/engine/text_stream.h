// TextStream: the text of one answer, token by token. Gives out whole characters only, never a part of a stop string,
// and tells reasoning, content and calls of tools apart. However tokens cut the text, the texts given out, joined, are
// the same; where the vocabulary has the tags of reasoning or the markers of calls as tokens, which part is which is a
// matter of those tokens alone.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "text/reasoning.h"
#include "text/tokenizer.h"
#include "text/tool_calls.h"

namespace naru::engine {

inline constexpr int64_t kStopStringsMax = 64;
inline constexpr int64_t kStopStringBytesMax = 4096;

struct TextOptions {
  // The first of these to be complete ends the answer; it is no part of the text. Of several that end at the same
  // byte the longest counts. Searched for in reasoning, content and calls alike.
  std::vector<std::string> stop;
  bool skip_special = true;  // special tokens give no text
  // Reasoning apart from content (text/reasoning.h says which is which); the tags are no part of the text.
  bool split_reasoning = false;
  bool starts_in_reasoning = false;  // the prompt ended inside reasoning
  // Calls apart from content (text/tool_calls.h), where reasoning is too. As many calls as may be end the answer, as a
  // stop string does.
  std::optional<text::ToolCallOptions> calls;
};

// New text of an answer.
struct TextDelta {
  std::string reasoning;
  std::string content;
  std::vector<text::ToolCall> calls;
  bool is_stopped = false;  // the answer ends here: a stop string was found, or the last call that may be is whole
  std::string stop;         // the stop string that was found
  bool empty() const { return reasoning.empty() && content.empty() && calls.empty(); }
};

// Finds the first of a set of strings in a stream of bytes, holding back only what may still become one of them.
class StringFinder {
 public:
  explicit StringFinder(std::vector<std::string> strings);
  // Appends to `out` the text that is surely before any match. Returns true when a match is complete; what is behind it
  // is dropped.
  bool push(std::string_view text, std::string& out);
  // The end of the stream: what was held back is text after all.
  void finish(std::string& out);
  // Of a complete match: the string.
  const std::string& match() const { return match_; }

 private:
  struct Pattern {
    std::string text;
    std::vector<int32_t> fallback;  // Knuth, Morris, Pratt
    int32_t matched = 0;
  };
  std::vector<Pattern> patterns_;
  std::string held_;
  std::string match_;
};

class TextStream {
 public:
  // kInvalidArgument: too many or too long stop strings, an empty one, one that is not UTF-8. The tokenizer must
  // outlive the stream.
  static Result<TextStream> create(const text::Tokenizer& tokenizer, TextOptions options);

  // Stop tokens (Event::is_stop_token) are not pushed. Nothing may be pushed after a delta with is_stopped.
  TextDelta push(int32_t id);
  // The end of the answer: everything held back.
  TextDelta finish();

  // True while the text is reasoning.
  bool is_reasoning() const { return options_.split_reasoning && splitter_.in_reasoning(); }
  // True where the text is reasoning or was, and be it empty.
  bool has_reasoned() const { return options_.split_reasoning && (options_.starts_in_reasoning || has_tag_); }

 private:
  TextStream(const text::Tokenizer& tokenizer, TextOptions options);
  // Decoded text through the search for stop strings, then split.
  void take(std::string_view text, TextDelta& delta);
  void split(std::string_view text, bool is_end, TextDelta& delta);
  void add_pieces(const std::vector<text::AnswerPiece>& pieces, TextDelta& delta);
  static void add_calls(text::ToolCallDelta&& part, TextDelta& delta);

  // The token of a tag of reasoning or of a marker of calls: the bytes of the decoded answer that are its text.
  struct Tag {
    size_t begin;
    std::string_view text;
    std::optional<size_t> marker;  // which one
    bool is_shown;
  };
  void split_tag(const Tag& tag, TextDelta& delta);

  const text::Tokenizer* tokenizer_;
  TextOptions options_;
  text::StreamDecoder decoder_;
  StringFinder stops_;
  text::ReasoningTokens tag_tokens_;
  text::ReasoningSplitter splitter_;
  std::vector<std::optional<int32_t>> marker_tokens_;
  std::optional<text::ToolCallSplitter> calls_;
  std::vector<Tag> tags_;  // that are not split yet, in order
  std::string sure_;       // text before any stop string that is not split yet: a tag that may still be cut
  size_t n_decoded_ = 0;   // bytes of the answer so far
  size_t n_split_ = 0;     // of them, those before sure_
  bool is_stopped_ = false;
  bool has_tag_ = false;  // of reasoning
};

}  // namespace naru::engine
