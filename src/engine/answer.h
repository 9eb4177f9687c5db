// One answer: its request's events followed to the end. Text comes by whole characters, reasoning apart from content, a
// stop string ends it; the times of prompt and answer are taken on the way.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "engine/scheduler.h"
#include "engine/text_stream.h"

namespace naru::engine {

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
  std::vector<float> logprobs;  // of ids; empty unless the request asked for them
  FinishReason reason = FinishReason::kStop;
  Usage usage;
  Timings timings;
};

// Follows one request; others may run in the same scheduler. Each event of the request is given to take(), in order.
class AnswerFollower {
 public:
  // Submits the request; its time begins now. Errors: those of Scheduler::submit and of TextStream::create. Scheduler
  // and tokenizer must outlive the follower.
  static Result<AnswerFollower> submit(Scheduler& scheduler, const text::Tokenizer& tokenizer, Request request,
                                       const TextOptions& options);
  // `n_answers` of it, which compute its prompt once: answer k has the random numbers of request.sample + k.
  static Result<std::vector<AnswerFollower>> submit(Scheduler& scheduler, const text::Tokenizer& tokenizer,
                                                    Request request, const TextOptions& options, int64_t n_answers);

  RequestId request() const { return id_; }
  bool is_finished() const { return is_finished_; }
  // True while the text is reasoning.
  bool is_reasoning() const { return stream_.is_reasoning(); }
  // True where it is or was.
  bool has_reasoned() const { return stream_.has_reasoned(); }

  // The new text of an event. Where a stop string is complete the request is aborted; what comes after it is no part of
  // the answer. With the event that ends the request comes all that was held back, or the request's error.
  Result<TextDelta> take(const Event& event);
  // The answer so far; whole when is_finished().
  const Answer& answer() const { return answer_; }

 private:
  using Clock = std::chrono::steady_clock;
  AnswerFollower(Scheduler& scheduler, TextStream stream, bool wants_logprobs)
      : scheduler_(&scheduler), stream_(std::move(stream)), wants_logprobs_(wants_logprobs), begin_(Clock::now()) {}
  TextDelta take_token(const Event& event);
  const TextDelta& keep(const TextDelta& delta);

  Scheduler* scheduler_;
  RequestId id_ = 0;
  TextStream stream_;
  bool wants_logprobs_;
  Clock::time_point begin_;
  Clock::time_point first_token_;
  bool is_finished_ = false;
  bool is_stopped_ = false;  // a stop string was complete
  Answer answer_;
};

}  // namespace naru::engine
