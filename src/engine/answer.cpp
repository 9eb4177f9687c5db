#include "engine/answer.h"

namespace naru::engine {
namespace {

template <typename Time>
double ms_between(Time a, Time b) {
  return std::chrono::duration<double, std::milli>(b - a).count();
}

double per_second(int64_t n, double ms) {
  return ms > 0 ? static_cast<double>(n) / ms * 1000 : 0;
}

}  // namespace

double Timings::prefill_tokens_per_s() const {
  return per_second(prefilled, prefill_ms);
}
double Timings::decode_tokens_per_s() const {
  return per_second(decoded, decode_ms);
}

Result<AnswerFollower> AnswerFollower::submit(Scheduler& scheduler, const text::Tokenizer& tokenizer, Request request,
                                              const TextOptions& options) {
  NARU_ASSIGN(std::vector<AnswerFollower> followers, submit(scheduler, tokenizer, std::move(request), options, 1));
  return std::move(followers.front());
}

Result<std::vector<AnswerFollower>> AnswerFollower::submit(Scheduler& scheduler, const text::Tokenizer& tokenizer,
                                                           Request request, const TextOptions& options,
                                                           int64_t n_answers) {
  std::vector<AnswerFollower> followers;
  for (int64_t k = 0; k < n_answers; ++k) {
    NARU_ASSIGN(TextStream stream, TextStream::create(tokenizer, options));
    followers.push_back(AnswerFollower(scheduler, std::move(stream), request.top_logprobs.has_value()));
  }
  NARU_ASSIGN(RequestId id, scheduler.submit(std::move(request), n_answers));
  for (AnswerFollower& follower : followers) follower.id_ = id++;
  return followers;
}

Result<TextDelta> AnswerFollower::take(const Event& event) {
  NARU_CHECK(event.request == id_ && !is_finished_, event.request, id_, is_finished_);
  if (event.kind == Event::Kind::kPrefill) return TextDelta();
  if (event.kind == Event::Kind::kToken) return take_token(event);
  is_finished_ = true;
  answer_.reason = event.reason;
  answer_.usage = event.usage;
  answer_.timings.prefilled = event.usage.prompt_tokens - event.usage.cached_tokens;
  if (event.error) return *event.error;
  return keep(stream_.finish());
}

TextDelta AnswerFollower::take_token(const Event& event) {
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
  const TextDelta delta = stream_.push(event.id);
  if (delta.is_stopped) {
    is_stopped_ = true;
    scheduler_->abort(id_, FinishReason::kStop);
  }
  return keep(delta);
}

const TextDelta& AnswerFollower::keep(const TextDelta& delta) {
  answer_.text += delta.content;
  answer_.reasoning += delta.reasoning;
  return delta;
}

}  // namespace naru::engine
