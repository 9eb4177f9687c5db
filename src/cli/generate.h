// One answer made alone: a request run to its end, its text told to a view as it comes.
#pragma once

#include "engine/answer.h"

namespace naru::cli {

// Who shows an answer while it is made.
class AnswerView {
 public:
  virtual ~AnswerView() = default;
  virtual void on_prefill(int64_t done, int64_t total) = 0;
  // An error ends the answer.
  virtual Status on_text(const engine::TextDelta& delta) = 0;
  // Ends the line of what was shown: notes may follow. Again, it does nothing.
  virtual Status finish() { return {}; }
};

// Runs the request alone. An interrupt ends the answer with reason kAborted.
Result<engine::Answer> generate(engine::Engine& engine, engine::Request request,
                                const engine::TextOptions& text_options, AnswerView& view);

}  // namespace naru::cli
