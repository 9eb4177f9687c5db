// Messages of a conversation as Anthropic writes them, made what chat templates take.
#pragma once

#include "server/conversation.h"
#include "server/fields.h"

namespace naru::server {

// "system" and "messages" of a body. What is wrong is refused by its place: messages[2].content[0].type.
void read_anthropic_conversation(Fields& body, Conversation& conversation);

}  // namespace naru::server
