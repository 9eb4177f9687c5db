// The chat in the terminal: messages and commands are typed, answers come from a ChatSession.
#pragma once

#include "cli/answer_source.h"
#include "cli/options.h"

namespace naru::cli {

// The terminal does not echo (NoEcho), unless standard error is no terminal: the editor shows what is typed. Until the
// user leaves: /quit or Ctrl-D end well, a second Ctrl-C or a signal to end with kCancelled.
Status chat(const RunOptions& options, AnswerSource& source);

}  // namespace naru::cli
