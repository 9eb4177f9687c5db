// Items of OpenAI's responses: those of a request made what chat templates take, and reasoning in the form in which a
// client keeps it between two requests.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "server/conversation.h"
#include "server/fields.h"

namespace naru::server {

// "instructions" and "input" of a body. What is wrong is refused by its place: input[2].content[0].type.
void read_responses_conversation(Fields& body, Conversation& conversation);

// "encrypted_content" of a reasoning item: clients that keep no reasoning send that back. It is no secret, and not
// encrypted: the text in base 64 behind a word that says whose it is.
std::string seal_reasoning(std::string_view text);
// Nothing where seal_reasoning() has not made it.
std::optional<std::string> open_sealed_reasoning(std::string_view sealed);

}  // namespace naru::server
