// Several answers to one prompt: it is computed once, wherever it ends in a page, and each answer is what it is alone.
#include <new>
#include <set>

#include "tests/engine/forced_answer.h"
#include "tests/engine/scheduler_rig.h"

namespace naru::engine {
namespace {

constexpr int64_t kAnswers = 5;
constexpr std::array<int64_t, 7> kPrompts = {1, 31, 32, 33, 64, 70, 17};

Request prompt_of(int64_t n_tokens, int64_t vocab) {
  Request request;
  request.ids = make_ids(n_tokens, static_cast<uint64_t>(n_tokens), vocab);
  request.max_tokens = 3 + n_tokens % 40;
  request.sampling.seed = static_cast<uint64_t>(n_tokens);
  request.sample = 7;
  request.sampling.repetition_penalty = n_tokens % 2 == 0 ? 1.1 : 1.0;
  request.top_logprobs = n_tokens % 3;
  request.ignore_eos = n_tokens > 40;
  return request;
}

// Every answer alone, one after the other, nothing shared: [prompt * kAnswers + answer].
std::vector<RequestOutcome> each_alone(const std::string& model, const std::string& chip) {
  EngineOptions options = small_options(128, 1);
  options.share_prefixes = false;
  Rig rig = open_rig(fixture_model(model), chip, options);
  std::vector<RequestOutcome> answers;
  for (const int64_t n_tokens : kPrompts) {
    for (uint32_t k = 0; k < kAnswers; ++k) {
      Scheduler scheduler(*rig);
      Request request = prompt_of(n_tokens, rig->vocab());
      request.sample += k;
      const auto id = scheduler.submit(std::move(request));
      EXPECT_TRUE(id.ok());
      answers.push_back(run_all(scheduler)[*id]);
    }
  }
  return answers;
}

// What the answers say next, and now and then another thing.
class Guesses : public DraftSource {
 public:
  explicit Guesses(const std::vector<RequestOutcome>& answers) : answers_(answers) {}
  std::vector<int32_t> draft(RequestId id, const Request& request, std::span<const int32_t> ids,
                             int64_t n_max) override {
    const std::vector<int32_t>& answer = answers_[id - 1].ids;
    const size_t done = ids.size() - request.ids.size();
    const size_t n = std::min(answer.size() - done, static_cast<size_t>(n_max));
    std::vector<int32_t> guesses(answer.begin() + static_cast<int64_t>(done),
                                 answer.begin() + static_cast<int64_t>(done + n));
    if (done % 3 == 1 && !guesses.empty()) guesses.back() = (guesses.back() + 1) % 90;
    return guesses;
  }

 private:
  const std::vector<RequestOutcome>& answers_;
};

struct Load {
  int64_t sessions, running, chunk;
  bool share, has_drafts;
};

class SeveralAnswers : public ::testing::TestWithParam<std::tuple<std::string, std::string>> {};

TEST_P(SeveralAnswers, AreWhatEachIsAlone) {
  const auto& [chip, model] = GetParam();
  const std::vector<RequestOutcome> wanted = each_alone(model, chip);
  int64_t n_ended = 0, n_prompt_rows = 0, n_answer_rows = 0, n_preempted = 0;
  for (const int64_t n : kPrompts) n_prompt_rows += n;
  for (const RequestOutcome& answer : wanted) {
    n_ended += answer.reason == FinishReason::kStop ? 1 : 0;
    n_answer_rows += n_of(answer.ids) - 1;  // the last token is not fed
  }
  EXPECT_GT(n_ended, 0) << "answers must end at different times";
  std::vector<Load> loads = {{35, 35, 512, false, true}, {1, 12, 64, true, false}};
  if (chip == "reference") {
    loads[0] = {8, 4, 16, false, true};
  } else {
    loads.insert(loads.end(), {{35, 35, 512, true, false},
                               {8, 4, 16, false, false},
                               {8, 3, 7, true, true},
                               {1, 12, 64, false, false},
                               {1, 35, 512, true, true}});
  }
  for (const Load& load : loads) {
    EngineOptions options = small_options(128, load.sessions, load.chunk);
    options.share_prefixes = load.share;
    Rig rig = open_rig(fixture_model(model), chip, options);
    rig->shuffle_free_pages(3);
    {
      Guesses guesses(wanted);
      Scheduler scheduler(*rig, {.running_max = load.running, .drafts = load.has_drafts ? &guesses : nullptr});
      for (size_t p = 0; p < kPrompts.size(); ++p) {
        const auto id = scheduler.submit(prompt_of(kPrompts[p], rig->vocab()), kAnswers);
        ASSERT_TRUE(id.ok());
        ASSERT_EQ(*id, 1 + p * kAnswers);
      }
      const auto answers = run_all(scheduler);
      ASSERT_EQ(answers.size(), wanted.size());
      for (const auto& [id, answer] : answers) {
        EXPECT_TRUE(answer.same_tokens(wanted[id - 1]))
            << "answer " << id << " with " << load.sessions << " sessions, " << load.running << " running, chunk "
            << load.chunk << (load.has_drafts ? ", drafts" : "");
      }
      if (scheduler.n_preemptions() == 0) {
        for (const auto& [id, answer] : answers) {
          const bool is_first = (id - 1) % kAnswers == 0;
          EXPECT_EQ(answer.usage.cached_tokens, is_first ? 0 : answer.usage.prompt_tokens) << id;
          EXPECT_EQ(answer.n_prefill, answer.usage.prompt_tokens) << id;
        }
        if (!load.has_drafts) {
          EXPECT_EQ(rig->stats().n_rows, n_prompt_rows + n_answer_rows) << load.running;
        }
      }
      n_preempted += scheduler.n_preemptions();
      EXPECT_EQ(scheduler.n_preemptions() > 0, load.sessions == 1);
      EXPECT_EQ(scheduler.n_accepted() > 0, load.has_drafts);
    }
    expect_no_pages_held(*rig);
  }
  EXPECT_GT(n_preempted, 0) << "the loads must make pages run out";
}

INSTANTIATE_TEST_SUITE_P(Models, SeveralAnswers,
                         ::testing::Values(std::tuple("reference", "llama-gqa"), std::tuple("cpu", "llama-gqa"),
                                           std::tuple("cpu", "v3-f32"), std::tuple("cpu", "v2-lite")),
                         [](const auto& setting) {
                           return test_name(std::get<0>(setting.param) + "_" + std::get<1>(setting.param));
                         });

// Of forty answers two run at a time: what one leaves the next takes up in the very next step, beside the other.
TEST(SeveralAnswersScheduling, TakesTheNextAnswerAsSoonAsOneEnds) {
  Rig rig = open_rig(fixture_model("llama-gqa"), "cpu", small_options(128, 2));
  Scheduler scheduler(*rig);
  Request request = prompt_of(17, rig->vocab());
  request.ignore_eos = true;
  request.max_tokens = 8;
  ASSERT_TRUE(scheduler.submit(request, 40).ok());
  std::map<RequestId, RequestOutcome> answers;
  int64_t n_steps = 0;
  for (; !scheduler.is_idle(); ++n_steps) {
    take_events(scheduler.step(), answers);
    ASSERT_LE(scheduler.n_running(), 2);
    ASSERT_LT(n_steps, 400);
  }
  EXPECT_EQ(answers.size(), 40u);
  // A first token costs no step but that of the prompt: an answer of 8 takes 7, and the first two that of the prompt.
  EXPECT_EQ(n_steps, 20 * 7 + 1);
  EXPECT_EQ(rig->stats().n_rows, 17 + 40 * 7);
  EXPECT_EQ(rig->stats().n_pages_copied, 39) << "the last one to write takes the page itself";
}

TEST(SeveralAnswersScheduling, NeedsNoStepForAnswersOfOneToken) {
  Rig rig = open_rig(fixture_model("llama-gqa"), "reference", small_options(128, 2));
  Scheduler scheduler(*rig);
  Request request = prompt_of(33, rig->vocab());
  request.max_tokens = 1;
  ASSERT_TRUE(scheduler.submit(request, 9).ok());
  const auto answers = run_all(scheduler);
  EXPECT_EQ(answers.size(), 9u);
  std::set<int32_t> tokens;
  for (const auto& [id, answer] : answers) {
    ASSERT_EQ(answer.ids.size(), 1u);
    tokens.insert(answer.ids[0]);
  }
  EXPECT_GT(tokens.size(), 3u) << "each with random numbers of its own";
  EXPECT_EQ(rig->stats().n_rows, 33);
  EXPECT_EQ(rig->stats().n_forwards, 1);
  expect_no_pages_held(*rig);
}

// Pages that waiting answers hold for later are given to those that run; the prompt is computed again.
TEST(SeveralAnswersScheduling, ForgetsAPromptBeforeAnAnswerLosesItsPages) {
  Rig rig = open_rig(fixture_model("llama-gqa"), "cpu", small_options(128, 1));
  Request request = prompt_of(33, rig->vocab());
  request.ignore_eos = true;
  request.max_tokens = 95;  // the whole context: all four pages
  std::vector<RequestOutcome> wanted;
  for (uint32_t k = 0; k < 3; ++k) {
    Request one = request;
    one.sample += k;
    Scheduler scheduler(*rig);
    ASSERT_TRUE(scheduler.submit(one).ok());
    wanted.push_back(run_all(scheduler)[1]);
    rig->drop_prefix_cache();
  }
  const int64_t n_before = rig->stats().n_rows;
  {
    Scheduler scheduler(*rig, {.running_max = 1});
    ASSERT_TRUE(scheduler.submit(request, 3).ok());
    const auto answers = run_all(scheduler);
    for (uint64_t k = 0; k < 3; ++k) EXPECT_TRUE(answers.at(k + 1).same_tokens(wanted[k])) << k;
    EXPECT_EQ(scheduler.n_preemptions(), 0);
  }
  EXPECT_GT(rig->stats().n_rows - n_before, 33 + 3 * 94) << "the prompt must have been forgotten";
  expect_no_pages_held(*rig);
}

TEST(SeveralAnswersScheduling, GoesOnWhoeverIsAborted) {
  const std::vector<RequestOutcome> wanted = each_alone("llama-gqa", "cpu");
  for (const int64_t n_steps : {0, 1, 3, 6, 10, 20}) {
    for (const std::set<RequestId>& aborted :
         {std::set<RequestId>{26}, {26, 27, 30}, {27, 28, 29, 30}, {28}, {26, 27, 28, 29, 30}}) {
      Rig rig = open_rig(fixture_model("llama-gqa"), "cpu", small_options(128, 3, 16));
      {
        Scheduler scheduler(*rig);
        for (const int64_t n_tokens : kPrompts) {
          ASSERT_TRUE(scheduler.submit(prompt_of(n_tokens, rig->vocab()), kAnswers).ok());
        }
        for (RequestId id = 1; id <= 25; ++id) scheduler.abort(id);  // those of 70 tokens come first now
        std::map<RequestId, RequestOutcome> answers;
        for (int64_t i = 0; i < n_steps; ++i) take_events(scheduler.step(), answers);
        for (const RequestId id : aborted) scheduler.abort(id);
        while (!scheduler.is_idle()) take_events(scheduler.step(), answers);
        for (RequestId id = 26; id <= 35; ++id) {
          const RequestOutcome& answer = answers.at(id);
          if (answer.reason == FinishReason::kAborted) {
            EXPECT_TRUE(aborted.contains(id));
            continue;
          }
          EXPECT_TRUE(answer.same_tokens(wanted[id - 1])) << id << " after " << n_steps << " steps";
        }
      }
      expect_no_pages_held(*rig);
    }
  }
}

TEST(SeveralAnswersScheduling, RefusesAllOrNone) {
  Rig rig = open_rig(fixture_model("llama-gqa"), "reference", small_options(64, 1));
  Scheduler scheduler(*rig, {.waiting_max = 4});
  const Request request = prompt_of(17, rig->vocab());
  for (const int64_t n : {int64_t{0}, int64_t{-1}, INT64_MIN}) {
    const auto id = scheduler.submit(request, n);
    ASSERT_FALSE(id.ok());
    EXPECT_EQ(id.error().code, Code::kInvalidArgument);
  }
  ASSERT_TRUE(scheduler.submit(request, 3).ok());
  for (const int64_t n : {int64_t{2}, INT64_MAX}) {
    const auto id = scheduler.submit(request, n);
    ASSERT_FALSE(id.ok());
    EXPECT_EQ(id.error().code, Code::kResourceExhausted);
  }
  EXPECT_EQ(scheduler.n_waiting(), 3);
  EXPECT_EQ(*scheduler.submit(request), 4u);
  EXPECT_EQ(run_all(scheduler).size(), 4u);
}

// The second answer to begin with it finds no memory.
class OnceConstraint final : public Constraint {
 public:
  std::unique_ptr<ConstraintState> begin() const override {
    if (std::exchange(has_begun_, true)) throw std::bad_alloc();
    return forced_.begin();
  }

 private:
  ForcedAnswer forced_{{7}, 64};
  mutable bool has_begun_ = false;
};

TEST(SeveralAnswersScheduling, WithoutMemoryForAllNoneWaits) {
  Rig rig = open_rig(fixture_model("llama-gqa"), "reference", small_options(64, 1));
  Scheduler scheduler(*rig);
  Request request = prompt_of(17, rig->vocab());
  ASSERT_TRUE(scheduler.submit(request).ok());
  request.constraint = std::make_shared<const OnceConstraint>();
  EXPECT_THROW(static_cast<void>(scheduler.submit(request, 3)), std::bad_alloc);
  EXPECT_EQ(scheduler.n_waiting(), 1);
  EXPECT_EQ(run_all(scheduler).size(), 1u);
}

}  // namespace
}  // namespace naru::engine
