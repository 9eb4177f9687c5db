// Users beside each other in one scheduler: who waits for whom, and that no token depends on it.
#include <set>

#include "tests/engine/scheduler_rig.h"

namespace naru::engine {
namespace {

const std::string kFairModel = "llama-gqa";

Request request_of(UserId user, uint64_t seed, int64_t n_prompt, int64_t n_answer, int64_t vocab) {
  Request request;
  request.ids = make_ids(n_prompt, seed, vocab);
  request.max_tokens = n_answer;
  request.ignore_eos = true;
  request.sampling.seed = seed;
  request.sampling.temperature = 1.0;
  request.top_logprobs = 0;
  request.user = user;
  request.cache_scope = user;
  return request;
}

RequestOutcome answer_alone(const Request& request) {
  Rig rig = open_rig(fixture_model(kFairModel), "cpu", small_options(128, 1));
  Scheduler scheduler(*rig);
  const auto id = scheduler.submit(request);
  return run_all(scheduler)[*id];
}

TEST(FairScheduler, NobodyWaitsForTheEndOfOthersAnswers) {
  Rig rig = open_rig(fixture_model(kFairModel), "cpu", small_options(128, 2));
  Scheduler scheduler(*rig, {.running_max = 2});
  std::map<RequestId, Request> asked;
  const auto submit = [&](Request request) {
    const auto id = scheduler.submit(request);
    EXPECT_TRUE(id.ok());
    asked[*id] = std::move(request);
    return *id;
  };
  for (uint64_t i = 0; i < 10; ++i) submit(request_of(1, i, 8, 60, rig->vocab()));
  std::map<RequestId, RequestOutcome> answers;
  for (int i = 0; i < 4; ++i) take_events(scheduler.step(), answers);
  // All places are taken by one who has nine more.
  const RequestId other = submit(request_of(2, 77, 20, 5, rig->vocab()));
  take_events(scheduler.step(), answers);
  EXPECT_EQ(answers[other].ids.size(), 1u) << "its first token comes with the next step";
  EXPECT_EQ(scheduler.n_preemptions(), 1);
  EXPECT_EQ(scheduler.n_running(), 2);
  while (!answers[other].reason) take_events(scheduler.step(), answers);
  // A second one of its gets the same place, when as much was computed for the first user as for the second.
  const RequestId second = submit(request_of(2, 78, 3, 5, rig->vocab()));
  for (int i = 0; i < 10; ++i) take_events(scheduler.step(), answers);
  EXPECT_GT(answers[second].ids.size(), 0u);
  EXPECT_FALSE(answers[1].reason) << "the first answer of all is still at work";
  for (int64_t i = 0; i < 2000 && !scheduler.is_idle(); ++i) take_events(scheduler.step(), answers);
  ASSERT_EQ(answers.size(), asked.size());
  for (const auto& [id, request] : asked) EXPECT_TRUE(answers[id].same_tokens(answer_alone(request))) << id;
  expect_no_pages_held(*rig);
}

TEST(FairScheduler, WhoHasAPlaceTakesNoneFromOthers) {
  Rig rig = open_rig(fixture_model(kFairModel), "cpu", small_options(128, 2));
  Scheduler scheduler(*rig, {.running_max = 2});
  std::map<RequestId, RequestOutcome> answers;
  for (UserId user = 1; user <= 3; ++user) {  // two places
    ASSERT_TRUE(scheduler.submit(request_of(user, user, 5, 20, rig->vocab())).ok());
  }
  for (int i = 0; i < 15; ++i) take_events(scheduler.step(), answers);
  EXPECT_EQ(scheduler.n_preemptions(), 0);
  EXPECT_EQ(answers[1].ids.size(), 15u);
  EXPECT_EQ(answers[2].ids.size(), 15u);
  EXPECT_TRUE(answers[3].ids.empty());
  EXPECT_EQ(run_all(scheduler).size(), 3u);
}

TEST(FairScheduler, ALongPromptHoldsUpNoShortOne) {
  Rig rig = open_rig(fixture_model(kFairModel), "cpu", small_options(512, 3, 64));
  Scheduler scheduler(*rig, {.running_max = 3});
  std::map<RequestId, RequestOutcome> answers;
  const Request running = request_of(3, 3, 4, 60, rig->vocab());
  const auto decoding = scheduler.submit(running);
  take_events(scheduler.step(), answers);
  const Request big = request_of(1, 1, 400, 4, rig->vocab());
  const Request small = request_of(2, 2, 30, 4, rig->vocab());
  const auto long_one = scheduler.submit(big);
  const auto short_one = scheduler.submit(small);
  int64_t n_steps = 0;
  while (answers[*long_one].ids.empty()) {
    const size_t before = answers[*decoding].ids.size();
    take_events(scheduler.step(), answers);
    EXPECT_EQ(answers[*decoding].ids.size(), before + 1) << "a token each step, whatever prompts there are";
    if (++n_steps == 1) {
      EXPECT_EQ(answers[*short_one].ids.size(), 1u);
      EXPECT_GE(answers[*long_one].n_prefill, 31);  // half of the rows
    }
  }
  EXPECT_LE(n_steps, 8);  // 430 tokens in passes of 64, of which one or two are decoding: no row is left empty
  for (int64_t i = 0; i < 200 && !scheduler.is_idle(); ++i) take_events(scheduler.step(), answers);
  EXPECT_EQ(answers[*short_one].usage.completion_tokens, 4);
}

TEST(FairScheduler, ManyShortPromptsDoNotStarveALongOne) {
  Rig rig = open_rig(fixture_model(kFairModel), "cpu", small_options(512, 4, 64));
  Scheduler scheduler(*rig, {.running_max = 4});
  std::map<RequestId, RequestOutcome> answers;
  const auto long_one = scheduler.submit(request_of(1, 1, 300, 1, rig->vocab()));
  int64_t n_steps = 0;
  for (uint64_t seed = 10; !answers[*long_one].reason; ++n_steps) {
    while (scheduler.n_waiting() + scheduler.n_running() < 6) {
      ASSERT_TRUE(scheduler.submit(request_of(2, ++seed, 60, 1, rig->vocab())).ok());
    }
    take_events(scheduler.step(), answers);
    ASSERT_LT(n_steps, 20);
  }
  EXPECT_LE(n_steps, 10);
}

// Whatever the users, priorities, places and pages are.
TEST(FairScheduler, NoTokenDependsOnWhoElseIsThere) {
  const auto wanted = answers_alone(kFairModel, "cpu");
  int64_t n_preempted = 0;
  for (const uint64_t n_users : {1, 3, 24}) {
    for (const int64_t sessions : {1, 6}) {
      Rig rig = open_rig(fixture_model(kFairModel), "cpu", small_options(128, sessions, 32));
      {
        Scheduler scheduler(*rig, {.running_max = 6});
        std::map<RequestId, RequestOutcome> answers;
        for (uint64_t i = 0; i < kRequests; ++i) {
          Request request = make_request(i, rig->vocab());
          request.user = i % n_users;
          request.priority = static_cast<int64_t>(i % 4);
          ASSERT_TRUE(scheduler.submit(request).ok());
          if (i % 3 == 0) take_events(scheduler.step(), answers);
        }
        for (int64_t i = 0; i < 3000 && !scheduler.is_idle(); ++i) take_events(scheduler.step(), answers);
        ASSERT_EQ(answers.size(), kRequests);
        for (uint64_t i = 0; i < kRequests; ++i) {
          EXPECT_TRUE(answers[i + 1].same_tokens(wanted[i])) << "request " << i << " among " << n_users << " users";
        }
        n_preempted += scheduler.n_preemptions();
      }
      expect_no_pages_held(*rig);
    }
  }
  EXPECT_GT(n_preempted, 0);
}

TEST(FairScheduler, APromptBesideAnswersComesInSmallParts) {
  Rig rig = open_rig(fixture_model(kFairModel), "cpu", small_options(128, 2));
  Scheduler scheduler(*rig, {.running_max = 2, .prompt_rows_beside = 6});
  const Request first = request_of(1, 1, 8, 60, rig->vocab()), second = request_of(2, 2, 40, 5, rig->vocab());
  std::map<RequestId, RequestOutcome> answers;
  const RequestId one = *scheduler.submit(first);
  take_events(scheduler.step(), answers);
  ASSERT_EQ(answers[one].ids.size(), 1u) << "with nobody beside it a prompt is computed at once";
  const RequestId two = *scheduler.submit(second);
  // Seven steps of six rows, each of which gives the first answer a token too.
  for (int i = 0; i < 6; ++i) take_events(scheduler.step(), answers);
  EXPECT_EQ(answers[two].ids.size(), 0u);
  take_events(scheduler.step(), answers);
  EXPECT_EQ(answers[two].ids.size(), 1u);
  EXPECT_EQ(answers[one].ids.size(), 8u);
  for (int i = 0; i < 200 && !scheduler.is_idle(); ++i) take_events(scheduler.step(), answers);
  EXPECT_TRUE(answers[one].same_tokens(answer_alone(first)));
  EXPECT_TRUE(answers[two].same_tokens(answer_alone(second)));
}

}  // namespace
}  // namespace naru::engine
