// Tells calls of tools from the words of a model's answer while it streams: in the form that the model was trained to
// write, and with the bytes that it wrote.
//
// A call is given out once it is whole: a JSON object of arguments for one of the tools that the request has. What only
// looks like one (another name, broken JSON, an end in the middle) stays content, every byte of it. So arguments never
// come in halves, and nothing is held back but what may still become a marker, a call, or the blanks before one.
//
// As with the tags of reasoning (reasoning.h): where the vocabulary has a marker as a control token, that token alone
// is the marker; without such a token its characters are the sign. However the text is cut, the pieces, joined, are the
// same.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "text/json_prefix.h"
#include "text/tokenizer.h"

namespace naru::text {

enum class ToolCallForm : uint8_t {
  kNone,
  // <tool_call>{"name": NAME, "arguments": OBJECT}</tool_call>, anywhere: Hermes, Qwen.
  kHermes,
  // {"name": NAME, "parameters": OBJECT} from the answer's beginning on, maybe behind <|python_tag|>; several between
  // semicolons: Llama 3.
  kBare,
  // Between <｜tool▁calls▁begin｜> and <｜tool▁calls▁end｜>, each between <｜tool▁call▁begin｜> and
  // <｜tool▁call▁end｜>: TYPE<｜tool▁sep｜>NAME and the object in a fence of ```json (DeepSeek V3, R1), or
  // NAME<｜tool▁sep｜>OBJECT (V3.1).
  kDeepSeek,
};

inline constexpr size_t kToolCallBytesMax = 4 << 20;  // of one call, from its first marker on; longer ones are content
inline constexpr size_t kToolHeaderBytesMax = 512;    // between the markers before DeepSeek's object

// The markers of a form; each begins with '<' and has no other, and none is the beginning of another.
std::span<const std::string_view> tool_call_markers(ToolCallForm form);

// Of each marker the control token that is it, where the vocabulary has one.
std::vector<std::optional<int32_t>> tool_call_tokens(const Tokenizer& tokenizer, ToolCallForm form);

struct ToolCall {
  int64_t index = 0;  // of the answer's calls
  std::string name;
  std::string arguments;  // a JSON object, byte for byte as the model wrote it; {} where it wrote none
};

// The bytes of calls as a model was trained to write them, markers among them:
// before_all (before_name NAME before_arguments OBJECT behind_arguments), with `between` between two, behind_all.
struct CallTexts {
  std::string before_all, before_name, before_arguments, behind_arguments, between, behind_all;
};

struct ToolCallOptions {
  ToolCallForm form = ToolCallForm::kNone;
  std::vector<std::string> names;  // of the request's tools
  // What the template puts between an answer's words and its first call. It is no part of the words, so that the next
  // turn's prompt has the bytes that the model wrote.
  std::string separator;
  int64_t calls_max = 0;  // the answer ends behind that many; 0: any number
};

// New content and calls of an answer, where content is before the calls unless they came earlier.
struct ToolCallDelta {
  std::string content;
  std::vector<ToolCall> calls;
};

class ToolCallSplitter {
 public:
  // `tokens`: of tool_call_tokens(); empty: no marker is a token.
  explicit ToolCallSplitter(ToolCallOptions options, const std::vector<std::optional<int32_t>>& tokens = {});

  ToolCallDelta push(std::string_view text);
  // The token of marker `index`. `is_shown`: it is text of the answer where it turns out to begin no call.
  ToolCallDelta push_marker(size_t index, bool is_shown = true);
  ToolCallDelta finish();  // gives out what was held back

  // As many calls as may be: the answer ends here, and what is pushed now is nothing.
  bool is_full() const { return options_.calls_max > 0 && n_calls_ >= options_.calls_max; }

 private:
  enum class State : uint8_t {
    kOutside,  // in the answer's words, or between calls
    kBlock,    // behind the marker that opens DeepSeek's calls
    kHeader,   // before its separator
    kName,     // behind it, before the object
    kObject,   // the object is wanted
    kJson,     // in it
    kTail,     // behind a call: what belongs to its end
    kPending,  // behind a bare object that would be a call: more calls or the end are wanted
    kPlain,    // no calls any more
  };

  void lex(char byte);
  void take_byte(char byte);
  void take_marker(size_t index, std::string_view text, bool is_token);
  // In each state; false where the byte cannot belong to a call here.
  bool continue_call(char byte);
  bool continue_call_at(size_t marker);
  bool take_json(char byte);
  void begin(State state, std::string_view text);
  // What was held is no call.
  void reject();
  void give_content(std::string_view bytes);
  void give_call();
  bool finish_object();
  bool read_object(std::string_view object);
  bool read_header();

  ToolCallOptions options_;
  std::span<const std::string_view> markers_;
  std::vector<bool> is_token_;
  State state_ = State::kOutside;
  std::string partial_;                       // the beginning of what may be a marker
  std::string raw_;                           // of the call that is being read
  std::string header_;                        // DeepSeek's, up to the separator
  size_t name_begin_ = 0, object_begin_ = 0;  // in raw_
  JsonPrefix json_;
  ToolCall call_;               // the one that is pending
  std::string blanks_;          // behind the content that was given out
  bool has_words_ = false;      // something but blanks was given out as content
  bool is_after_call_ = false;  // nothing but blanks since the last call
  int64_t n_calls_ = 0;
  ToolCallDelta delta_;
};

}  // namespace naru::text
