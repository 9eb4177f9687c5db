// Tools of a request: into the prompt, and what the answer is searched for.
#pragma once

#include <optional>

#include "engine/text_stream.h"
#include "server/answer_request.h"
#include "server/model_facts.h"
#include "text/chat_template.h"

namespace naru::server {

// What is against tools of a request: a template that has no place for them, or whose calls have a form that is not
// read here.
std::optional<Refusal> refuse_tools(const AnswerRequest& request, const ModelFacts& model);

// Puts the request's tools, and its messages with the calls of earlier turns, into what the template is given, and into
// `text` how calls look in the answer; where refuse_tools() has nothing against them. Nothing where that is done.
std::optional<Refusal> prepare_tools(const AnswerRequest& request, const ModelFacts& model, text::ChatInput& input,
                                     engine::TextOptions& text);

}  // namespace naru::server
