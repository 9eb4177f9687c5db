// What the tests of the scheduler share: requests of many kinds, what each got, and each answered alone.
#pragma once

#include <map>

#include "engine/scheduler.h"
#include "tests/engine/harness.h"

namespace naru::engine {

// What one request got.
struct RequestOutcome {
  std::vector<int32_t> ids;
  std::vector<uint32_t> logprobs;
  std::vector<int32_t> top_ids;
  std::optional<FinishReason> reason;
  std::optional<Error> error;
  Usage usage;
  int64_t n_prefill = 0;

  bool same_tokens(const RequestOutcome& other) const {
    return ids == other.ids && logprobs == other.logprobs && top_ids == other.top_ids && reason == other.reason;
  }
};

inline void take_events(const std::vector<Event>& events, std::map<RequestId, RequestOutcome>& answers) {
  for (const Event& event : events) {
    RequestOutcome& answer = answers[event.request];
    ASSERT_FALSE(answer.reason.has_value()) << "an event after the last one of request " << event.request;
    answer.usage = event.usage;
    switch (event.kind) {
      case Event::Kind::kPrefill:
        EXPECT_GT(event.prompt_done, answer.n_prefill);
        answer.n_prefill = event.prompt_done;
        break;
      case Event::Kind::kToken:
        answer.ids.push_back(event.id);
        answer.logprobs.push_back(std::bit_cast<uint32_t>(event.logprob));
        for (const TokenLogProb& top : event.top) answer.top_ids.push_back(top.id);
        break;
      case Event::Kind::kFinished:
        answer.reason = event.reason;
        answer.error = event.error;
        break;
    }
  }
}

inline std::map<RequestId, RequestOutcome> run_all(Scheduler& scheduler) {
  std::map<RequestId, RequestOutcome> answers;
  for (int64_t i = 0; i < 5000 && !scheduler.is_idle(); ++i) take_events(scheduler.step(), answers);
  EXPECT_TRUE(scheduler.is_idle());
  EXPECT_TRUE(scheduler.step().empty());
  return answers;
}

inline Request make_request(uint64_t i, int64_t vocab) {
  Request request;
  request.ids = make_ids(1 + static_cast<int64_t>(i * 13 % 70), i % 9, vocab);  // some share their beginning
  request.max_tokens = i % 4 == 2 ? 58 : 1 + static_cast<int64_t>(i * 7 % 23);
  request.sampling.seed = i;
  request.sampling.temperature = i % 4 == 0 ? 0.0 : 1.3;
  request.sampling.top_p = i % 3 == 0 ? 0.9 : 1.0;
  request.sampling.top_k = i % 5 == 0 ? 11 : 0;
  request.sampling.repetition_penalty = i % 2 == 0 ? 1.1 : 1.0;
  request.sampling.frequency_penalty = i % 6 == 0 ? 0.5 : 0.0;
  request.ignore_eos = i % 2 == 0;
  request.top_logprobs = static_cast<int64_t>(i % 3);
  return request;
}

inline constexpr uint64_t kRequests = 24;

// Every request alone, one after the other, nothing shared.
inline std::vector<RequestOutcome> answers_alone(const std::string& model, const std::string& chip) {
  EngineOptions options = small_options(128, 1);
  options.share_prefixes = false;
  Rig rig = open_rig(fixture_model(model), chip, options);
  std::vector<RequestOutcome> answers;
  for (uint64_t i = 0; i < kRequests; ++i) {
    Scheduler scheduler(*rig);
    const auto id = scheduler.submit(make_request(i, rig->vocab()));
    EXPECT_TRUE(id.ok());
    answers.push_back(run_all(scheduler)[*id]);
  }
  return answers;
}

}  // namespace naru::engine
