// OpenAI's responses, outwards: a response object, whole or told by semantic events, each with the next
// sequence_number. Pure functions of the events.
//
// Its output items stand in the order in which they came: reasoning (the text itself, no summary), a message, calls of
// functions. The last event has all of it once more: response.completed, response.incomplete where the answer was cut
// off, response.failed after an error; no [DONE] follows.
#pragma once

#include "server/answer_writer.h"

namespace naru::server {

std::unique_ptr<AnswerWriter> make_responses_writer(AnswerIdentity identity, const AnswerRequest& request);

}  // namespace naru::server
