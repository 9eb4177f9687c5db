// Messages of a conversation as OpenAI writes them, made what chat templates take.
#pragma once

#include "server/fields.h"

namespace naru::server {

// Objects with "role" (system, user, assistant), "content" (one text), and "name" and "reasoning_content" where given.
// What is wrong is refused by its place: messages[2].content[0].type.
text::Value::List read_openai_messages(Fields& body);

}  // namespace naru::server
