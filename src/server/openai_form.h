// The fields by which chat completions and completions ask for an answer of a form: OpenAI's response_format, and what
// vLLM calls structured_outputs (json, regex, choice, json_object) and called guided_json, guided_regex, guided_choice.
// One of them at most; the names of other forms are refused.
#pragma once

#include "server/answer_request.h"
#include "server/fields.h"

namespace naru::server {

void read_openai_form(Fields& body, AnswerRequest& request);

}  // namespace naru::server
