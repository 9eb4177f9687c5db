#include "cli/generate.h"

#include <chrono>

#include "cli/interrupts.h"

namespace naru::cli {
namespace {

using Clock = std::chrono::steady_clock;

double ms_between(Clock::time_point a, Clock::time_point b) {
  return std::chrono::duration<double, std::milli>(b - a).count();
}

double per_second(int64_t n, double ms) {
  return ms > 0 ? static_cast<double>(n) / ms * 1000 : 0;
}

// Follows one request through the scheduler's events.
class Follower {
 public:
  Follower(engine::Scheduler& scheduler, engine::RequestId id, engine::TextStream stream, bool wants_logprobs,
           AnswerView& view)
      : scheduler_(scheduler),
        id_(id),
        stream_(std::move(stream)),
        wants_logprobs_(wants_logprobs),
        view_(view),
        begin_(Clock::now()) {}

  Result<Answer> run() {
    while (!is_finished_) {
      if (is_interrupted()) scheduler_.abort(id_, engine::FinishReason::kAborted);
      for (const engine::Event& event : scheduler_.step()) NARU_TRY(take(event));
    }
    NARU_TRY(show(stream_.finish()));
    answer_.timings.prefilled = answer_.usage.prompt_tokens - answer_.usage.cached_tokens;
    return std::move(answer_);
  }

 private:
  Status take(const engine::Event& event) {
    switch (event.kind) {
      case engine::Event::Kind::kPrefill: view_.on_prefill(event.prompt_done, event.usage.prompt_tokens); return {};
      case engine::Event::Kind::kToken: return take_token(event);
      case engine::Event::Kind::kFinished: break;
    }
    is_finished_ = true;
    answer_.reason = event.reason;
    answer_.usage = event.usage;
    if (event.error) return *event.error;
    return {};
  }

  Status take_token(const engine::Event& event) {
    if (is_stopped_) return {};
    const Clock::time_point now = Clock::now();
    if (answer_.ids.empty()) {
      answer_.timings.prefill_ms = ms_between(begin_, now);
      first_token_ = now;
    } else {
      answer_.timings.decode_ms = ms_between(first_token_, now);
      ++answer_.timings.decoded;
    }
    answer_.ids.push_back(event.id);
    if (wants_logprobs_) answer_.logprobs.push_back(event.logprob);
    if (event.is_stop_token) return {};
    const engine::TextDelta delta = stream_.push(event.id);
    if (delta.is_stopped) {
      is_stopped_ = true;
      scheduler_.abort(id_, engine::FinishReason::kStop);
    }
    return show(delta);
  }

  Status show(const engine::TextDelta& delta) {
    answer_.text += delta.content;
    answer_.reasoning += delta.reasoning;
    return delta.empty() ? Status() : view_.on_text(delta);
  }

  engine::Scheduler& scheduler_;
  engine::RequestId id_;
  engine::TextStream stream_;
  bool wants_logprobs_;
  AnswerView& view_;
  Clock::time_point begin_;
  Clock::time_point first_token_;
  bool is_finished_ = false;
  bool is_stopped_ = false;  // a stop string was complete
  Answer answer_;
};

}  // namespace

double Timings::prefill_tokens_per_s() const {
  return per_second(prefilled, prefill_ms);
}
double Timings::decode_tokens_per_s() const {
  return per_second(decoded, decode_ms);
}

Result<Answer> generate(engine::Engine& engine, engine::Request request, const engine::TextOptions& text_options,
                        AnswerView& view) {
  NARU_CHECK(engine.tokenizer() != nullptr);
  NARU_ASSIGN(engine::TextStream stream, engine::TextStream::create(*engine.tokenizer(), text_options));
  const bool wants_logprobs = request.top_logprobs.has_value();
  engine::Scheduler scheduler(engine);
  NARU_ASSIGN(const engine::RequestId id, scheduler.submit(std::move(request)));
  return Follower(scheduler, id, std::move(stream), wants_logprobs, view).run();
}

}  // namespace naru::cli
