// Sample: one line of a .jsonl file, checked: {"text": "..."} or {"messages": [{"role": ..., "content": ...}, ...]},
// the second maybe with "tools". Other keys beside these are the user's own and are not looked at.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "text/value.h"

namespace naru::data {

struct Sample {
  bool is_chat = false;
  std::string text;            // where it is no chat
  text::Value::List messages;  // objects with "role" and what else the line says, as a chat template takes them
  text::Value tools;           // a list, or null
};

// `place` is how messages call the line: "chat.jsonl:17".
Result<Sample> parse_sample(std::string_view line, std::string_view place);

// A sample of one question and its answer.
Sample make_exchange(std::string question, std::string answer);

}  // namespace naru::data
