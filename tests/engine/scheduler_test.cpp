// The scheduler: a request's tokens are its own, whatever order, load, chunking, preemption and aborts do around it;
// pages are accounted for exactly.
#include "engine/scheduler.h"

#include <fstream>
#include <limits>
#include <set>

#include "tests/engine/forced_answer.h"
#include "tests/engine/scheduler_rig.h"

namespace naru::engine {
namespace {

struct Setting {
  int64_t sessions, running, chunk;
  bool share;
  uint64_t order;
};

class OrderAndLoad : public ::testing::TestWithParam<std::string> {};

TEST_P(OrderAndLoad, ChangeNoToken) {
  const std::string model = "llama-gqa";
  const auto wanted = answers_alone(model, GetParam());
  int64_t n_preempted = 0, n_stopped = 0;
  for (const RequestOutcome& answer : wanted) n_stopped += answer.reason == FinishReason::kStop ? 1 : 0;
  for (const Setting& setting :
       {Setting{24, 24, 512, false, 0}, Setting{24, 24, 512, true, 1}, Setting{4, 3, 7, true, 2},
        Setting{1, 8, 16, true, 3}, Setting{2, 24, 64, false, 4}, Setting{1, 24, 1, true, 5}}) {
    EngineOptions options = small_options(128, setting.sessions, setting.chunk);
    options.share_prefixes = setting.share;
    Rig rig = open_rig(fixture_model(model), GetParam(), options);
    rig->shuffle_free_pages(setting.order);
    {
      Scheduler scheduler(*rig, {.running_max = setting.running});
      std::map<RequestId, uint64_t> indices;
      for (uint64_t i = 0; i < kRequests; ++i) {
        const uint64_t index = (i * (2 * setting.order + 1) + setting.order) % kRequests;
        if (indices.size() == kRequests) break;
        const auto id = scheduler.submit(make_request(index, rig->vocab()));
        ASSERT_TRUE(id.ok());
        indices[*id] = index;
      }
      const auto answers = run_all(scheduler);
      ASSERT_EQ(answers.size(), indices.size());
      for (const auto& [id, answer] : answers) {
        EXPECT_TRUE(answer.same_tokens(wanted[indices[id]]))
            << "request " << indices[id] << " with " << setting.sessions << " sessions, " << setting.running
            << " running, chunk " << setting.chunk;
        EXPECT_EQ(answer.usage.completion_tokens, static_cast<int64_t>(answer.ids.size()));
      }
      n_preempted += scheduler.n_preemptions();
    }
    expect_no_pages_held(*rig);
  }
  EXPECT_GT(n_preempted, 0) << "the settings must make pages run out";
  EXPECT_GT(n_stopped, 0) << "some answers must end by themselves";
}

INSTANTIATE_TEST_SUITE_P(Chips, OrderAndLoad, ::testing::Values("reference", "cpu"));

TEST(Scheduler, IsASamplerOverASession) {
  Rig rig = open_rig(fixture_model("llama-gqa"), "reference", small_options(128, 2));
  Scheduler scheduler(*rig);
  Request request = make_request(2, rig->vocab());
  request.sample = 5;
  request.top_logprobs = 2;
  const auto id = scheduler.submit(request);
  const RequestOutcome answer = run_all(scheduler)[*id];
  ASSERT_EQ(answer.ids.size(), 58u);

  const auto session = rig->new_session();
  Sampler sampler;
  TokenHistory history;
  history.add_prompt(request.ids);
  std::vector<int32_t> ids = request.ids;
  auto logits = rig->feed(*session, ids);
  for (size_t i = 0; i < answer.ids.size(); ++i) {
    ASSERT_TRUE(logits.ok());
    const auto token = sampler.sample(logits->row(0), request.sampling, history, 5, ids.size());
    ASSERT_TRUE(token.ok());
    EXPECT_EQ(*token, answer.ids[i]);
    const LogProbs logprobs(logits->row(0));
    EXPECT_EQ(std::bit_cast<uint32_t>(logprobs.of(*token)), answer.logprobs[i]);
    EXPECT_EQ(logprobs.top(2)[1].id, answer.top_ids[2 * i + 1]);
    ids.push_back(*token);
    history.add_generated(*token);
    logits = rig->feed(*session, {&ids.back(), 1});
  }
}

TEST(Scheduler, AbortsFreeEverythingAtOnce) {
  Rig rig = open_rig(fixture_model("llama-gqa"), "cpu", small_options(128, 3, 16));
  Scheduler scheduler(*rig, {.running_max = 6});
  std::map<RequestId, RequestOutcome> answers;
  std::set<RequestId> aborted, alive;
  uint64_t n_submitted = 0;
  const auto n_used = [&] { return rig->stats().n_pages_total - rig->stats().n_pages_available(); };
  for (uint64_t turn = 0; turn < 400; ++turn) {
    const PhiloxBlock random = draw(11, DrawPurpose::kTest, 2, turn);
    if (random[0] % 2 == 0 && scheduler.n_waiting() < 8) {
      const auto id = scheduler.submit(make_request(n_submitted++, rig->vocab()));
      ASSERT_TRUE(id.ok());
      alive.insert(*id);
    }
    if (random[1] % 3 == 0 && !alive.empty()) {
      auto it = alive.begin();
      std::advance(it, random[2] % alive.size());
      const int64_t before = n_used();
      scheduler.abort(*it);
      EXPECT_LE(n_used(), before);
      aborted.insert(*it);
      alive.erase(it);
    }
    if (random[3] % 16 == 0) {  // a storm
      for (const RequestId id : alive) scheduler.abort(id), aborted.insert(id);
      alive.clear();
      EXPECT_EQ(n_used(), 0);
      EXPECT_EQ(scheduler.n_running() + scheduler.n_waiting(), 0);
    }
    take_events(scheduler.step(), answers);
    for (const auto& [id, answer] : answers) {
      if (answer.reason) alive.erase(id);
    }
  }
  while (!scheduler.is_idle()) take_events(scheduler.step(), answers);
  EXPECT_EQ(answers.size(), n_submitted);
  int64_t n_aborted = 0;
  for (const auto& [id, answer] : answers) {
    ASSERT_TRUE(answer.reason.has_value());
    n_aborted += *answer.reason == FinishReason::kAborted ? 1 : 0;
    EXPECT_NE(*answer.reason, FinishReason::kError);
  }
  EXPECT_EQ(n_aborted, static_cast<int64_t>(aborted.size()));
  EXPECT_GT(n_aborted, 20);
  EXPECT_LT(n_aborted, static_cast<int64_t>(n_submitted));
  expect_no_pages_held(*rig);
}

TEST(Scheduler, EndsForTheReasonsItNames) {
  Rig rig = open_rig(fixture_model("llama-gqa"), "reference", small_options(64, 1));
  const auto answer_of = [&](Request request) {
    Scheduler scheduler(*rig);
    const auto id = scheduler.submit(std::move(request));
    EXPECT_TRUE(id.ok());
    return run_all(scheduler)[*id];
  };
  Request request;
  request.ids = make_ids(10, 1, rig->vocab());
  request.sampling.seed = 3;
  request.ignore_eos = true;
  const RequestOutcome full = answer_of(request);
  EXPECT_EQ(full.reason, FinishReason::kLength);
  EXPECT_EQ(full.ids.size(), 54u) << "the context is full";
  request.max_tokens = 5;
  const RequestOutcome five = answer_of(request);
  EXPECT_EQ(five.ids, std::vector<int32_t>(full.ids.begin(), full.ids.begin() + 5));
  EXPECT_EQ(five.reason, FinishReason::kLength);
  request.max_tokens = 0;
  request.stop_ids = {full.ids[20]};
  const RequestOutcome stopped = answer_of(request);
  EXPECT_EQ(stopped.reason, FinishReason::kStop);
  EXPECT_EQ(stopped.ids.back(), full.ids[20]);
  EXPECT_LE(stopped.ids.size(), 21u);
  // The model's own end token, made likely.
  request.stop_ids.clear();
  request.sampling.logit_bias = {{1, 1000.0f}};
  request.ignore_eos = false;
  const RequestOutcome ended = answer_of(request);
  EXPECT_EQ(ended.ids, std::vector<int32_t>{1});
  EXPECT_EQ(ended.reason, FinishReason::kStop);
  request.ignore_eos = true;
  request.max_tokens = 3;
  EXPECT_EQ(answer_of(request).ids, (std::vector<int32_t>{1, 1, 1}));
}

TEST(Scheduler, ACallerCanEndARequestAsStopped) {
  Rig rig = open_rig(fixture_model("llama-gqa"), "reference", small_options(64, 1));
  Scheduler scheduler(*rig);
  Request request;
  request.ids = {3, 4, 5};
  const auto id = scheduler.submit(request);
  std::map<RequestId, RequestOutcome> answers;
  take_events(scheduler.step(), answers);
  scheduler.abort(*id, FinishReason::kStop);
  scheduler.abort(*id);
  scheduler.abort(12345);
  EXPECT_FALSE(scheduler.is_idle()) << "the last event waits";
  take_events(scheduler.step(), answers);
  EXPECT_EQ(answers[*id].reason, FinishReason::kStop);
  EXPECT_TRUE(scheduler.is_idle());
}

TEST(Scheduler, CountsWhatWasFoundInTheCache) {
  Rig rig = open_rig(fixture_model("llama-gqa"), "reference", small_options(128, 2));
  Request request;
  request.ids = make_ids(100, 2, rig->vocab());
  request.max_tokens = 2;
  Scheduler scheduler(*rig);
  const auto first = scheduler.submit(request);
  EXPECT_EQ(run_all(scheduler)[*first].usage.cached_tokens, 0);
  const auto second = scheduler.submit(request);
  const auto third = scheduler.submit(request);
  auto answers = run_all(scheduler);
  for (const auto& id : {second, third}) {
    EXPECT_EQ(answers[*id].usage.cached_tokens, 96);
    EXPECT_EQ(answers[*id].usage.prompt_tokens, 100);
    EXPECT_EQ(answers[*id].n_prefill, 100);
  }
  request.cache_scope = 1;
  const auto stranger = scheduler.submit(request);
  EXPECT_EQ(run_all(scheduler)[*stranger].usage.cached_tokens, 0);
}

TEST(Scheduler, OnePromptOfManyAnswersIsComputedOnce) {
  Rig rig = open_rig(fixture_model("llama-gqa"), "reference", small_options(128, 4));
  Scheduler scheduler(*rig);
  Request request;
  request.ids = make_ids(100, 4, rig->vocab());
  request.max_tokens = 1;
  std::vector<RequestId> ids;
  for (uint32_t i = 0; i < 4; ++i) {
    request.sample = i;
    ids.push_back(*scheduler.submit(request));
  }
  auto answers = run_all(scheduler);
  EXPECT_EQ(rig->stats().n_rows, 100 + 3 * 4);
  EXPECT_EQ(answers[ids[0]].usage.cached_tokens, 0);
  for (size_t i = 1; i < 4; ++i) EXPECT_EQ(answers[ids[i]].usage.cached_tokens, 96);
}

TEST(Scheduler, RefusesWhatCannotBeAsked) {
  Rig rig = open_rig(fixture_model("llama-gqa"), "reference", small_options(64, 1));
  Scheduler scheduler(*rig, {.running_max = 1, .waiting_max = 1});
  const auto code_of = [&](Request request) {
    const auto id = scheduler.submit(std::move(request));
    return id.ok() ? std::string("ok") : std::string(code_name(id.error().code));
  };
  Request request;
  EXPECT_EQ(code_of(request), "invalid_argument");
  request.ids = make_ids(64, 1, rig->vocab());
  EXPECT_EQ(code_of(request), "out_of_range");
  request.ids = {97};
  EXPECT_EQ(code_of(request), "invalid_argument");
  request.ids = {5};
  request.max_tokens = -1;
  EXPECT_EQ(code_of(request), "invalid_argument");
  request.max_tokens = 1;
  request.top_logprobs = kTopLogProbsMax + 1;
  EXPECT_EQ(code_of(request), "invalid_argument");
  request.top_logprobs.reset();
  request.sampling.top_p = 2;
  EXPECT_EQ(code_of(request), "invalid_argument");
  request.sampling.top_p = 1;
  EXPECT_EQ(code_of(request), "ok");
  EXPECT_EQ(code_of(request), "resource_exhausted");
  run_all(scheduler);
  request.ids = make_ids(63, 1, rig->vocab());
  EXPECT_EQ(code_of(request), "ok");
  EXPECT_EQ(run_all(scheduler).begin()->second.ids.size(), 1u);
}

TEST(Scheduler, AnAnswerThatNothingGoesOnWithFailsUnlessItIsComplete) {
  Rig rig = open_rig(fixture_model("llama-gqa"), "reference", small_options(64, 2));
  Scheduler scheduler(*rig);
  Request request;
  request.ids = {3, 4, 5};
  request.constraint = std::make_shared<const ForcedAnswer>(std::vector<int32_t>{7, 8}, rig->vocab());
  const auto whole = scheduler.submit(request);
  request.constraint = std::make_shared<const ForcedAnswer>(std::vector<int32_t>{7, 8}, rig->vocab(), false);
  const auto broken = scheduler.submit(request);
  auto answers = run_all(scheduler);
  EXPECT_EQ(answers[*whole].reason, FinishReason::kStop);
  EXPECT_EQ(answers[*broken].reason, FinishReason::kError);
  EXPECT_EQ(answers[*broken].error->code, Code::kUnsupported);
  EXPECT_EQ(answers[*broken].ids, answers[*whole].ids);
}

TEST(Scheduler, AFailingRequestFailsAlone) {
  Rig rig = open_rig(fixture_model("llama-gqa"), "reference", small_options(64, 2));
  // All pages but one belong to somebody else: the second request of two cannot ever run beside the first.
  const auto holder = rig->new_session();
  feed_bits(*rig, *holder, make_ids(64, 1, rig->vocab()));
  const auto more = rig->new_session();
  feed_bits(*rig, *more, make_ids(32, 2, rig->vocab()));
  Scheduler scheduler(*rig);
  Request small, large;
  small.ids = {3, 4, 5};
  small.max_tokens = 4;
  small.ignore_eos = true;
  large.ids = make_ids(40, 3, rig->vocab());
  const auto large_id = scheduler.submit(large);
  const auto small_id = scheduler.submit(small);
  auto answers = run_all(scheduler);
  EXPECT_EQ(answers[*large_id].reason, FinishReason::kError);
  EXPECT_EQ(answers[*large_id].error->code, Code::kResourceExhausted);
  EXPECT_EQ(answers[*small_id].reason, FinishReason::kLength);
  EXPECT_EQ(answers[*small_id].ids.size(), 4u);
}

}  // namespace
}  // namespace naru::engine
