// Whether a chat template writes what a line says beside question and answer: tools, calls of them, what they gave, and
// who else speaks. A template that knows none leaves them out without a word, writes an absent content as Python's
// None, or an argument's text in quotation marks; nothing of that is learnt.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "data/sample.h"
#include "text/chat_template.h"

namespace naru::data {

// Refuses, by line, tools, calls and messages of role tool that do not come out in the rendered text. Gives a message
// that calls tools the form with which the template writes the calls as they are meant: its content as it is, null or
// "", and the arguments as an object or as the text of one.
Status settle_tool_calls(Sample& sample, const text::ChatTemplate& chat_template, std::string_view place);

// Whose messages (system, developer) the template leaves out, as a reason that many lines may share; "" for nobody's.
std::string unwritten_note(const Sample& sample, const text::ChatTemplate& chat_template, std::string_view place);

}  // namespace naru::data
