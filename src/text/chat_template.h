// Chat templates: a conversation as the text that a model was trained to see, in segments that tell what is scaffold
// and what came from outside, so that Tokenizer::encode_segments() lets no message forge a control token. Only the tags
// of reasoning in the content of an assistant's message count as scaffold.
//
// The template language is the part of Jinja that chat templates use, set up as transformers does it. A template runs
// in bounds: a million steps, output of at most four times its input and 1 MiB, no way out of the data it is given.
#pragma once

#include <ctime>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "formats/tokenizer_files.h"
#include "text/segment.h"
#include "text/value.h"

namespace naru::text {

struct ChatInput {
  // Objects with "role", "content" and what else a template knows: "name", "tool_calls", "reasoning_content", ...
  Value::List messages;
  Value tools;      // a list of JSON schemas, or null
  Value documents;  // a list of objects, or null
  bool add_generation_prompt = true;
  // Arguments of calls (tool_calls[i].function.arguments) that are strings reach the template as objects that print as
  // those very bytes, whether it writes `arguments | tojson` or `arguments`: a conversation's next turn begins with the
  // bytes that the model wrote. Off: as transformers, which leaves it to the caller to give what the template wants.
  bool keeps_arguments = false;
  Value::Object settings;      // further variables: {"enable_thinking", false}, {"thinking", true}, ...
  std::optional<std::tm> now;  // what strftime_now sees; the clock's local time where not set
};

class ChatTemplate {
 public:
  // `special_tokens` are variables with trusted text: {"bos_token", "<s>"}, ...
  static Result<ChatTemplate> create(std::string_view source,
                                     std::vector<std::pair<std::string, std::string>> special_tokens);
  // A tokenizer's templates with its special tokens; Code::kNotFound where it has neither a default one nor one named
  // "tool_use". The data must be whole: the texts of special tokens come from its tables.
  static Result<ChatTemplate> create(const formats::TokenizerData& data);

  ChatTemplate(ChatTemplate&&) noexcept;
  ChatTemplate& operator=(ChatTemplate&&) noexcept;
  ~ChatTemplate();

  // Where tools are given, even an empty list of them, the template named "tool_use" is taken if there is one, else the
  // default one; without tools the default one. True where there is such a template.
  bool can_render(bool with_tools) const;
  // Whether the template that is taken reads a variable of that name anywhere: where it reads none, giving it changes
  // nothing. (One that is read may still change nothing: a template can assign to it first.)
  bool reads_variable(std::string_view name, bool with_tools = false) const;

  // Neighbouring segments differ in is_content; none is empty.
  Result<std::vector<Segment>> render(const ChatInput& input) const;

 private:
  struct State;
  explicit ChatTemplate(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// An assistant's words with the tags of reasoning as scaffold, the rest as content.
std::vector<Segment> split_at_tags(std::string_view said);

// The segments' texts joined.
std::string join(const std::vector<Segment>& segments);

}  // namespace naru::text
