// Sample: one object of a file of training data, checked: a text, or a conversation as chat templates take it, from
// whichever form the object has (line_form.h). Keys that no form knows are the user's own and are not looked at.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "data/line_form.h"
#include "text/value.h"

namespace naru::data {

struct Sample {
  LineForm form = LineForm::kText;
  bool is_chat = false;
  std::string text;            // where it is no chat
  text::Value::List messages;  // objects with "role" and what else the line says, as a chat template takes them
  text::Value tools;           // a list, or null
  std::string note;            // what of the object is left out, as many lines may say it; or ""

  bool has_tools() const;  // tools, or calls of them
};

// `place` is how messages call the object, "chat.jsonl:17", and `begin` where it stands in its file.
Result<Sample> parse_sample(std::string_view json, std::string_view place, const formats::JsonPlace& begin);
Result<Sample> parse_sample(std::string_view json, std::string_view place);

// A sample of one question and its answer.
Sample make_exchange(std::string_view question, std::string_view answer);

}  // namespace naru::data
