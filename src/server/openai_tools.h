// Tools as OpenAI's chat completions have them: of a request, and the calls in its messages. What is wrong is refused
// by its place.
#pragma once

#include "server/answer_request.h"
#include "server/fields.h"

namespace naru::server {

// The field "tools"; null where there are none. `needs_type`: else an element without "type" is a function all the
// same. `strict`: takes the names of those whose "strict" is true.
text::Value read_tool_list(Fields& body, bool needs_type, std::vector<std::string>& strict);

// tools, tool_choice, parallel_tool_calls; and functions, function_call, which came before them, refused.
void read_openai_tools(Fields& body, AnswerRequest& request);

// An assistant's tool_calls: {"id", "type", "function": {"name", "arguments"}} with the arguments' text as it was sent.
// Empty where there are none.
text::Value::List read_openai_calls(Fields& message);

}  // namespace naru::server
