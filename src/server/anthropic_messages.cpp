#include "server/anthropic_messages.h"

#include <fmt/format.h>

#include "formats/utf8.h"
#include "server/limits.h"
#include "server/text_blocks.h"
#include "server/value_json.h"

namespace naru::server {
namespace {

using text::Value;

constexpr std::string_view kBlocksWanted = "blocks of type \"text\", \"tool_use\", \"tool_result\" or \"thinking\"";

// A call that an earlier answer made. The text of its arguments is written as models write it.
void read_tool_use(Fields& block, Conversation& conversation) {
  std::string id = required_string(block, "id", kBlockWordBytesMax);
  std::string name = required_string(block, "name", kBlockWordBytesMax);
  const Value* input = block.find("input");
  const std::string place = block.path_of("input");
  if (input == nullptr) return block.notes().refuse(place, fmt::format("{} is not there, an object was wanted", place));
  if (input->as_object() == nullptr) return block.refuse_wrong("input", *input, "an object");
  if (block.notes().ok()) conversation.add_call(std::move(id), std::move(name), value_json(*input));
}

// What came of a call. Templates know no errors: one is said in the text.
void read_tool_result(Fields& block, Conversation& conversation) {
  const std::string id = required_string(block, "tool_use_id", kBlockWordBytesMax);
  std::string text = block.boolean("is_error").value_or(false) ? "Error: " : "";
  if (const Value* content = block.find("content")) {
    text += read_text_blocks(*content, block.path_of("content"), block.notes(), {"text"});
  }
  if (!block.notes().ok() || conversation.add_result(id, std::move(text))) return;
  const std::string place = block.path_of("tool_use_id");
  block.notes().refuse(place, fmt::format("{} is '{}', the id of a tool_use before it was wanted; send that one too",
                                          place, formats::printable(id)));
}

void read_users_block(Fields& block, std::string_view type, Conversation& conversation) {
  if (type == "text") return conversation.add_user(required_string(block, "text", kBodyBytesMax));
  if (type == "tool_result") return read_tool_result(block, conversation);
  refuse_block(block, type, "blocks of type \"text\" or \"tool_result\" in messages of the user");
}

void read_assistants_block(Fields& block, std::string_view type, Conversation& conversation) {
  if (type == "text") return conversation.add_assistant(required_string(block, "text", kBodyBytesMax));
  if (type == "tool_use") return read_tool_use(block, conversation);
  if (type == "thinking") {
    block.find("signature");  // nothing here is signed
    return conversation.add_reasoning(required_string(block, "thinking", kBodyBytesMax));
  }
  if (type == "redacted_thinking") return block.ignore("data");  // nobody here can read it
  refuse_block(block, type, fmt::format("{} in messages of the assistant", kBlocksWanted));
}

void read_blocks(const Value& content, const std::string& place, bool is_user, Conversation& conversation,
                 FieldNotes& notes) {
  const size_t n_before = conversation.n_messages();
  read_objects(content, place, kMessagePartsMax, notes, [&](Fields& block) {
    const std::string type = block_type(block);
    if (!notes.ok()) return;
    ignore_cache_control(block);
    for (const char* name : {"citations", "caller"}) block.find(name);  // of answers sent back
    is_user ? read_users_block(block, type, conversation) : read_assistants_block(block, type, conversation);
    block.ignore_rest();
  });
  // No block, or none that says anything: the message is there all the same.
  if (notes.ok() && conversation.n_messages() == n_before) {
    if (is_user) conversation.add_user("");
    if (!is_user && !conversation.ends_with_assistant()) conversation.add_assistant("");
  }
}

void read_message_of(Fields& message, Conversation& conversation) {
  FieldNotes& notes = message.notes();
  const std::string role = required_string(message, "role", kBlockWordBytesMax);
  const Value* content = message.find("content");
  if (!notes.ok()) return;
  if (role != "user" && role != "assistant" && role != "system") {
    const std::string place = message.path_of("role");
    return notes.refuse(place,
                        fmt::format("{} is {}, user, assistant or system was wanted", place, formats::printable(role)));
  }
  const std::string place = message.path_of("content");
  if (content == nullptr) {
    return notes.refuse(place, fmt::format("{} is not there, a string or an array of blocks was wanted", place));
  }
  if (role == "system") {
    conversation.add_system(read_text_blocks(*content, place, notes, {"text"}));
  } else if (const std::string* text = content->as_string()) {
    role == "user" ? conversation.add_user(*text) : conversation.add_assistant(*text);
  } else if (content->as_list() != nullptr) {
    read_blocks(*content, place, role == "user", conversation, notes);
  } else {
    message.refuse_wrong("content", *content, "a string or an array of blocks");
  }
  message.ignore_rest();
}

// Claude Code writes a line for Anthropic's books before its system text, another one with each request. It says
// nothing to a model, and no prompt would begin like the one before it.
std::string without_billing(std::string system, FieldNotes& notes) {
  constexpr std::string_view kLine = "x-anthropic-billing-header";
  if (!system.starts_with(kLine)) return system;
  notes.ignore(std::string(kLine));
  const size_t end = system.find('\n');
  return end == std::string::npos ? std::string() : system.substr(end + 1);
}

}  // namespace

void read_anthropic_conversation(Fields& body, Conversation& conversation) {
  FieldNotes& notes = body.notes();
  if (const Value* system = body.find("system")) {
    conversation.add_system(without_billing(read_text_blocks(*system, "system", notes, {"text"}), notes));
  }
  const Value* messages = body.find("messages");
  if (messages == nullptr || (messages->as_list() != nullptr && messages->as_list()->empty())) {
    return notes.refuse("messages", fmt::format("messages is {}, one message at least was wanted; give "
                                                "[{{\"role\": \"user\", \"content\": \"...\"}}]",
                                                messages == nullptr ? "not there" : "empty"));
  }
  read_objects(*messages, "messages", kMessagesMax, notes,
               [&](Fields& message) { read_message_of(message, conversation); });
  if (!notes.ok()) return;
  conversation.join_users();
  if (conversation.ends_with_calls()) {
    notes.refuse("messages",
                 "messages ends with a tool_use, its tool_result was wanted; send that in a message of the user");
  }
}

}  // namespace naru::server
