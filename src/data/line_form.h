// The forms in which people keep what is trained on: which of them a JSON object has, told by its keys alone.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "text/value.h"

namespace naru::data {

enum class LineForm : uint8_t {
  kText,              // {"text": "..."}
  kMessages,          // {"messages": [{"role": "user", "content": "..."}, ...]}, with "tools" maybe
  kShareGpt,          // {"conversations": [{"from": "human", "value": "..."}, ...]}
  kAlpaca,            // {"instruction": "...", "input": "...", "output": "..."}
  kPromptCompletion,  // {"prompt": "...", "completion": "..."}
};

// "text", "messages", "ShareGPT", "Alpaca", "prompt and completion"
std::string_view form_name(LineForm form);

inline bool is_conversation(LineForm form) {
  return form != LineForm::kText;
}

// "null", "a number", "an array", for messages.
const char* kind_of(const text::Value& value);
// "reading PLACE: KEY is FOUND, WANTED was wanted; NEXT"
Error wrong_value(std::string_view place, std::string_view key, std::string_view found, std::string_view wanted,
                  std::string_view next);

struct FoundForm {
  LineForm form = LineForm::kText;
  std::string key;   // under which a list of messages stands: messages, conversations or conversation
  std::string note;  // what of the object is left out
};

// Refuses what has none of the forms, or two.
Result<FoundForm> find_form(const text::Value& root, std::string_view place);

}  // namespace naru::data
