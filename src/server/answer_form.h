// The form that an answer must have, compiled for the model that gives it: before the answer begins, on the thread of
// whoever asks.
#pragma once

#include <memory>
#include <variant>

#include "server/answer_request.h"
#include "server/model_facts.h"

namespace naru::engine {
class SharedForm;
}

namespace naru::server {

// Null: the answer may be anything, or is one JSON object of any form (AnswerRequest::is_json).
std::variant<std::shared_ptr<engine::SharedForm>, Refusal> answer_form(const AnswerRequest& request,
                                                                       const ModelFacts& model);

// What the content is to be, as messages say it: "one JSON object"; empty: anything.
std::string_view form_words(const AnswerRequest& request);

// What an answer that has a form cannot be as well.
std::optional<Refusal> refuse_beside_form(const AnswerRequest& request);

}  // namespace naru::server
