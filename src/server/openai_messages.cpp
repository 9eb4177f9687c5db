#include "server/openai_messages.h"

#include <fmt/format.h>

#include "formats/utf8.h"
#include "server/limits.h"
#include "server/openai_tools.h"
#include "server/text_blocks.h"

namespace naru::server {
namespace {

using text::Value;

constexpr size_t kShortTextBytesMax = 256;
constexpr size_t kTextBytesMax = kBodyBytesMax;

Value read_content(Fields& message) {
  const Value* content = message.find("content");
  if (content == nullptr) {
    message.notes().refuse(
        message.path_of("content"),
        fmt::format("{} is not there, a string was wanted; give one, maybe an empty one", message.path_of("content")));
    return {};
  }
  return read_text_blocks(*content, message.path_of("content"), message.notes(), {"text"});
}

std::string read_role(Fields& message) {
  const auto role = message.string("role", kShortTextBytesMax);
  if (role == "developer") return "system";
  if (role == "system" || role == "user" || role == "assistant" || role == "tool") return *role;
  const std::string place = message.path_of("role");
  if (role == "function") {
    message.notes().refuse(
        place, fmt::format("{} is function, the old name; send \"tool\" with the \"tool_call_id\" of the call", place),
        400, "unsupported_parameter");
  } else {
    message.notes().refuse(place, fmt::format("{} is {}, system, developer, user, assistant or tool was wanted", place,
                                              role ? formats::printable(*role) : "not there"));
  }
  return {};
}

Value read_message(const Value& value, const std::string& place, FieldNotes& notes) {
  if (!check_object(value, place, "an object with \"role\" and \"content\"", notes)) return {};
  Fields fields(value, place, notes);
  Value::Object message;
  const std::string role = read_role(fields);
  message.emplace_back("role", role);
  Value::List calls = read_openai_calls(fields);
  if (!calls.empty() && role != "assistant") {
    notes.refuse(fields.path_of("tool_calls"), fmt::format("{} stands in a message of {}, an assistant's was wanted",
                                                           fields.path_of("tool_calls"), role));
  }
  fields.refuse_unsupported("function_call", "it is the old name: send \"tool_calls\"");
  fields.refuse_unsupported("audio", "models take text alone here");
  fields.boolean("prefix");  // said of the request (reasoning_fields.h)
  // An answer that is calls alone has no content.
  const bool has_content = calls.empty() || fields.has("content");
  message.emplace_back("content", has_content ? read_content(fields) : Value());
  if (!calls.empty()) message.emplace_back("tool_calls", std::move(calls));
  const auto call_id = fields.string("tool_call_id", kShortTextBytesMax);
  if (role == "tool" && !call_id) {
    notes.refuse(fields.path_of("tool_call_id"),
                 fmt::format("{} is not there, the \"id\" of the call that this answers was wanted",
                             fields.path_of("tool_call_id")));
  }
  if (call_id) message.emplace_back("tool_call_id", *call_id);
  if (const auto name = fields.string("name", kShortTextBytesMax)) message.emplace_back("name", *name);
  // Two names of one field; the first one wins in DeepSeek's clients.
  auto reasoning = fields.string("reasoning_content", kTextBytesMax);
  const auto other = fields.string("reasoning", kTextBytesMax);
  if (!reasoning) reasoning = other;
  if (reasoning) message.emplace_back("reasoning_content", *reasoning);
  fields.find("refusal");  // a string where the assistant refused: its content says so too
  fields.ignore_rest();
  return message;
}

}  // namespace

Value::List read_openai_messages(Fields& body) {
  Value::List messages;
  FieldNotes& notes = body.notes();
  const Value* value = body.find("messages");
  if (value == nullptr) {
    notes.refuse("messages",
                 "messages is not there, an array of messages was wanted; give "
                 "[{\"role\": \"user\", \"content\": \"...\"}]");
    return messages;
  }
  const Value::List* list = value->as_list();
  if (list == nullptr) {
    body.refuse_wrong("messages", *value, "an array of messages");
    return messages;
  }
  if (list->empty() || static_cast<int64_t>(list->size()) > kMessagesMax) {
    notes.refuse("messages", fmt::format("messages has {} elements, 1 to {} were wanted", list->size(), kMessagesMax));
    return messages;
  }
  for (size_t i = 0; i < list->size() && notes.ok(); ++i) {
    messages.push_back(read_message((*list)[i], fmt::format("messages[{}]", i), notes));
  }
  return messages;
}

}  // namespace naru::server
