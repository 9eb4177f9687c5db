// Messages of a conversation as OpenAI writes them, made what chat templates take.
#pragma once

#include "server/fields.h"

namespace naru::server {

// Objects with "role" (system, user, assistant, tool), "content" (one text, null where an answer is calls alone), and
// "name", "reasoning_content", "tool_calls" and "tool_call_id" where given.
// What is wrong is refused by its place: messages[2].content[0].type.
text::Value::List read_openai_messages(Fields& body);

}  // namespace naru::server
