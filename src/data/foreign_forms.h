// Lines of other programs as messages: ShareGPT's conversations, Alpaca's instructions, prompts with completions.
#pragma once

#include <string_view>

#include "base/result.h"
#include "text/value.h"

namespace naru::data {

// {"from": "human", "value": "..."} as {"role": "user", "content": "..."}; a function_call's value as the assistant's
// tool_calls. `name` is what messages call the list.
Result<text::Value::List> share_gpt_messages(const text::Value::List& list, std::string_view name,
                                             std::string_view place);

// History, then instruction (a line break and the input behind it, where there is some) and output.
Result<text::Value::List> alpaca_messages(const text::Value& root, std::string_view place);

Result<text::Value::List> prompt_messages(const text::Value& root, std::string_view place);

// {"role": role, "content": content}
text::Value make_message(std::string_view role, std::string_view content);

}  // namespace naru::data
