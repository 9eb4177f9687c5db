// Whether a chat template writes what a line says of tools. A template that knows none leaves calls and schemas out
// without a word, or writes an absent content as Python's None; neither is learnt.
#pragma once

#include <string_view>

#include "base/result.h"
#include "data/sample.h"
#include "text/chat_template.h"

namespace naru::data {

// Refuses, by line, tools and calls that do not come out in the rendered text. Gives the content of a message that has
// calls and none the form (as it is, null, or "") with which the template writes the calls and no None.
Status settle_tool_calls(Sample& sample, const text::ChatTemplate& chat_template, std::string_view place);

}  // namespace naru::data
