// Form: what an answer must be: a value of a JSON schema, a text of a regular expression, one of some texts, calls of
// tools. compile() makes a grammar of it that covers the whole answer: reasoning, which runs free, and the content
// behind it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/result.h"
#include "text/forms/grammar.h"
#include "text/tool_calls.h"
#include "text/value.h"

namespace naru::text {

inline constexpr size_t kChoicesOfFormMax = 10000;
inline constexpr size_t kFormTextBytesMax = 1 << 20;  // of all choices

struct SchemaForm {
  Value schema;
};
struct RegexForm {
  std::string regex;  // text/forms/regex.h, of the whole content
};
struct ChoiceForm {
  std::vector<std::string> texts;  // one of these, and nothing else
};

// A tool whose arguments follow its schema, or are an object of any form.
struct FormTool {
  std::string name;
  std::optional<Value> schema;
};
struct CallsForm {
  std::vector<FormTool> tools;
  ToolCallForm form = ToolCallForm::kNone;
  CallTexts texts;
  bool is_one_only = false;
  bool must_call = true;  // false: words may come before calls and instead of them; what begins as a call is one
};

using Form = std::variant<SchemaForm, RegexForm, ChoiceForm, CallsForm>;

// What of the signs of an answer are tokens of the vocabulary.
struct FormSigns {
  bool has_open_token = false, has_close_token = false;  // of reasoning
  std::vector<bool> marker_tokens;                       // of each marker of the calls' form
  uint32_t longest_token = 256;                          // in bytes
};

struct CompiledForm {
  std::shared_ptr<const Grammar> grammar;
  RuleId content = 0;           // of an answer that is content alone
  RuleId maybe_reasoning = 0;   // that may begin with the token that opens reasoning
  RuleId inside_reasoning = 0;  // that begins inside of it
  size_t bytes() const { return grammar->bytes(); }
};

// kInvalidArgument, kUnsupported, kResourceExhausted; the message has its first part: "reading the schema: ...".
Result<CompiledForm> compile(const Form& form, const FormSigns& signs);

}  // namespace naru::text
