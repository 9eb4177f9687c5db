// One answer: a request run to its end, its text told to a view as it comes, its times measured.
#pragma once

#include <string>
#include <vector>

#include "engine/scheduler.h"
#include "engine/text_stream.h"

namespace naru::cli {

struct Timings {
  double prefill_ms = 0;  // until the whole prompt is in the cache and the first token is there
  double decode_ms = 0;   // from the first token to the last
  int64_t prefilled = 0;  // tokens of the prompt that were computed, not found in the cache
  int64_t decoded = 0;    // tokens after the first

  double prefill_tokens_per_s() const;
  double decode_tokens_per_s() const;
};

struct Answer {
  std::string text;
  std::string reasoning;
  std::vector<int32_t> ids;     // every token sampled, the one that ended the answer too
  std::vector<float> logprobs;  // of ids; empty unless asked for
  engine::FinishReason reason = engine::FinishReason::kStop;
  engine::Usage usage;
  Timings timings;
};

// Who shows an answer while it is made.
class AnswerView {
 public:
  virtual ~AnswerView() = default;
  virtual void on_prefill(int64_t done, int64_t total) = 0;
  // An error ends the answer.
  virtual Status on_text(const engine::TextDelta& delta) = 0;
};

// Runs the request alone. An interrupt ends the answer with reason kAborted.
Result<Answer> generate(engine::Engine& engine, engine::Request request, const engine::TextOptions& text_options,
                        AnswerView& view);

}  // namespace naru::cli
