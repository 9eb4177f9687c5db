// What a model's template makes of tools: found out by rendering a small conversation with one, so that no list of
// models is needed.
#pragma once

#include <optional>
#include <string>

#include "text/chat_template.h"
#include "text/tool_calls.h"

namespace naru::text {

struct ToolSupport {
  bool lists_tools = false;   // it tells the model which tools there are
  bool writes_calls = false;  // calls of earlier turns are part of the prompt, with their arguments as they were sent
  bool writes_calls_behind_words = false;   // also those of an answer that has words before them
  ToolCallForm form = ToolCallForm::kNone;  // of those calls, as far as it is one that ToolCallSplitter reads
  std::string separator;                    // between an answer's words and its first call
  std::optional<CallTexts> texts;           // of those calls, byte for byte; nothing where they were not made out
  bool takes_null_content = false;          // of an answer that is calls alone; else its content must be ""
  bool writes_reasoning = false;            // of an answer with calls, while their results are being answered
  bool writes_earlier_reasoning = false;    // also behind a later question
};

ToolSupport tool_support(const ChatTemplate& chat_template);

}  // namespace naru::text
