// Messages of Ollama's chats, as requests have them: calls with their arguments as JSON text, each with an id, and the
// results of tools with the id of the call that they answer.
#pragma once

#include "server/fields.h"

namespace naru::server {

// Of "messages"; empty where it is not there, is empty, or is refused.
text::Value::List read_ollama_messages(Fields& body);
// Of "tools", in OpenAI's form; null where there are none.
text::Value read_ollama_tools(Fields& body, std::vector<std::string>& strict);

}  // namespace naru::server
