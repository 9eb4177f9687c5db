#include "server/form_fields.h"

#include <fmt/format.h>

#include "formats/utf8.h"
#include "server/text_blocks.h"

namespace naru::server {

using text::Value;

void read_schema(Fields& fields, AnswerRequest& request) {
  const Value* schema = fields.find("schema");
  const std::string place = fields.path_of("schema");
  if (schema == nullptr) {
    return fields.notes().refuse(
        place, fmt::format("{} is not there, a JSON schema was wanted, as in {{\"type\": \"object\"}}", place));
  }
  if (schema->as_object() == nullptr)
    return fields.refuse_wrong("schema", *schema, "a JSON schema, which is an object");
  request.form = text::SchemaForm{*schema};
}

bool take_tool_choice(std::string_view word, const ToolChoiceWords& words, AnswerRequest& request) {
  if (word == "none") request.tools = Value();
  request.must_call = word == words.any || word == words.named;
  if (word == words.named) request.parallel_calls = false;
  return request.must_call || word == "none" || word == "auto";
}

std::string read_tool_choice_object(Fields& choice, const ToolChoiceWords& words, AnswerRequest& request) {
  std::string type = required_string(choice, "type", kBlockWordBytesMax);
  if (type == words.named) request.only_tool = required_string(choice, "name", kBlockWordBytesMax);
  return type;
}

}  // namespace naru::server
