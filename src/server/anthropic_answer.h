// Anthropic's dialect, outwards: messages, whole or as named events, and errors. Pure functions of the events.
//
// An answer's blocks stand in the order in which they came: thinking, text, calls of tools. A stream begins
// (message_start) when the prompt's tokens are counted; what of them was cached is known and said at its end
// (message_delta), and the sum of input_tokens and cache_read_input_tokens is the same in both.
#pragma once

#include "server/answer_writer.h"

namespace naru::server {

std::unique_ptr<AnswerWriter> make_anthropic_writer(AnswerIdentity identity, const AnswerRequest& request);

// {"type": "error", "error": {"type", "message"}}
std::string anthropic_error(const Refusal& refusal);

// The signature of a thinking block: the same for all. It has the place of a proof that a server has written the
// thought, and this server gives and asks for none.
inline constexpr std::string_view kNoSignature = "naru-unsigned";

}  // namespace naru::server
