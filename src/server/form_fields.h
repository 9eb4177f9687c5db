// The fields that ask for an answer of a form, or for calls, as dialects share them.
#pragma once

#include <string>
#include <string_view>

#include "server/answer_request.h"
#include "server/fields.h"

namespace naru::server {

// "schema" of `fields`, which must be there: the content is a value of it. Whether anything can be is found out when
// the model is known (answer_form.h).
void read_schema(Fields& fields, AnswerRequest& request);

// The word of tool_choice: "auto", "none", the dialect's for "some tool", or the one for a tool by its name.
struct ToolChoiceWords {
  std::string_view any, named;
};
// An object with "type", and "name" beside a type that names a tool.
std::string read_tool_choice_object(Fields& choice, const ToolChoiceWords& words, AnswerRequest& request);
// What a word asks for; false: it is none of them.
bool take_tool_choice(std::string_view word, const ToolChoiceWords& words, AnswerRequest& request);

}  // namespace naru::server
