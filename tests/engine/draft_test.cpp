// Drafts: guesses of the next tokens change how many steps an answer takes, and not one bit of it. The source here
// knows the answers, and says them rightly, wrongly or both.
#include <fstream>
#include <limits>
#include <set>

#include "tests/engine/scheduler_rig.h"

namespace naru::engine {
namespace {

enum class Kind : uint8_t { kRight, kWrong, kMixed, kForeign };

class Oracle : public DraftSource {
 public:
  Oracle(Kind kind, int64_t vocab, const std::vector<RequestOutcome>& answers)
      : kind_(kind), vocab_(vocab), answers_(answers) {}

  // Which answer the next request of the scheduler has.
  void expect(RequestId id, uint64_t index) { indices_[id] = index; }
  const std::set<RequestId>& forgotten() const { return forgotten_; }

  std::vector<int32_t> draft(RequestId id, const Request& request, std::span<const int32_t> ids,
                             int64_t n_max) override {
    EXPECT_TRUE(indices_.contains(id));
    EXPECT_FALSE(forgotten_.contains(id)) << "asked after its end";
    EXPECT_GT(n_max, 0);
    const RequestOutcome& answer = answers_[indices_[id]];
    const size_t done = ids.size() - request.ids.size();
    EXPECT_TRUE(std::equal(ids.begin() + static_cast<int64_t>(request.ids.size()), ids.end(), answer.ids.begin()));
    const PhiloxBlock random = draw(1, DrawPurpose::kTest, static_cast<uint32_t>(id), done);
    std::vector<int32_t> guesses;
    const size_t n_right = kind_ == Kind::kRight ? 1000 : kind_ == Kind::kMixed ? random[0] % 6 : 0;
    for (size_t i = done; i < answer.ids.size() && guesses.size() < n_right; ++i) guesses.push_back(answer.ids[i]);
    if (kind_ == Kind::kForeign) return {static_cast<int32_t>(vocab_), -1};
    if (kind_ == Kind::kRight) return guesses;
    // One that is surely wrong, then whatever, more than was asked for.
    const int32_t next = done + guesses.size() < answer.ids.size() ? answer.ids[done + guesses.size()] : 0;
    guesses.push_back(static_cast<int32_t>((next + 1) % vocab_));
    for (uint32_t i = 0; i < random[1] % 5; ++i) guesses.push_back(static_cast<int32_t>(random[2] % 7 + i));
    return guesses;
  }
  void forget(RequestId id) override { EXPECT_TRUE(forgotten_.insert(id).second); }

 private:
  Kind kind_;
  int64_t vocab_;
  const std::vector<RequestOutcome>& answers_;
  std::map<RequestId, uint64_t> indices_;
  std::set<RequestId> forgotten_;
};

struct DraftLoad {
  int64_t sessions, running, chunk, drafts_max;
  bool share;
  uint64_t stride;  // which requests come, and in which order; 4: the long ones, four times each
};

class Drafts : public ::testing::TestWithParam<std::tuple<std::string, std::string>> {};

TEST_P(Drafts, ChangeNoBitAtAnyLoad) {
  const auto& [chip, model] = GetParam();
  const std::vector<RequestOutcome> wanted = answers_alone(model, chip);
  int64_t n_tokens = 0, n_preempted = 0;
  for (const RequestOutcome& answer : wanted) n_tokens += n_of(answer.ids);
  std::vector<DraftLoad> loads = {{24, 24, 512, 5, true, 1}, {1, 8, 64, 3, false, 4}};
  if (chip != "reference") {
    loads.insert(loads.end(), {{1, 1, 512, 4, false, 5}, {2, 8, 16, 7, true, 4}, {1, 24, 2, 4, true, 7}});
  }
  for (const DraftLoad& load : loads) {
    EngineOptions options = small_options(128, load.sessions, load.chunk);
    options.share_prefixes = load.share;
    Rig rig = open_rig(fixture_model(model), chip, options);
    for (const Kind kind : {Kind::kRight, Kind::kWrong, Kind::kMixed, Kind::kForeign}) {
      if (chip == "reference" && kind != Kind::kMixed) continue;  // slow, and the engine is the same
      Oracle oracle(kind, rig->vocab(), wanted);
      Scheduler scheduler(*rig, {.running_max = load.running, .drafts = &oracle, .drafts_max = load.drafts_max});
      const int64_t n_forwards = rig->stats().n_forwards;
      std::map<RequestId, uint64_t> indices;
      for (uint64_t i = 0; i < kRequests; ++i) {
        const uint64_t index = (i * load.stride + 2) % kRequests;
        const auto id = scheduler.submit(make_request(index, rig->vocab()));
        ASSERT_TRUE(id.ok());
        oracle.expect(*id, index);
        indices[*id] = index;
      }
      int64_t n_drafted = 0, n_accepted = 0;
      for (const auto& [id, answer] : run_all(scheduler)) {
        EXPECT_TRUE(answer.same_tokens(wanted[indices[id]]))
            << "request " << indices[id] << ", drafts of kind " << static_cast<int>(kind) << ", " << load.sessions
            << " sessions, " << load.running << " running, chunk " << load.chunk;
        n_drafted += answer.usage.drafted_tokens;
        n_accepted += answer.usage.accepted_tokens;
      }
      EXPECT_EQ(scheduler.n_drafted(), n_drafted);
      EXPECT_EQ(scheduler.n_accepted(), n_accepted);
      EXPECT_EQ(oracle.forgotten().size(), kRequests);
      EXPECT_EQ(n_drafted > 0, kind != Kind::kForeign && load.chunk > 2);
      if (kind == Kind::kRight) {
        EXPECT_EQ(n_accepted, n_drafted);
      }
      if (kind == Kind::kWrong) {
        EXPECT_EQ(n_accepted, 0);
      }
      if (kind == Kind::kMixed && n_drafted > 0) {
        EXPECT_GT(n_accepted, 0);
        EXPECT_LT(n_accepted, n_drafted);
      }
      if (kind == Kind::kRight && load.running == 1) {  // nearly five tokens a pass
        EXPECT_LT((rig->stats().n_forwards - n_forwards) * 2, n_tokens);
      }
      n_preempted += scheduler.n_preemptions();
    }
    expect_no_pages_held(*rig);
  }
  EXPECT_GT(n_preempted, 0) << "the loads must make pages run out";
}

INSTANTIATE_TEST_SUITE_P(Models, Drafts,
                         ::testing::Values(std::tuple("reference", "llama-gqa"), std::tuple("cpu", "llama-gqa"),
                                           std::tuple("cpu", "v3-qlora")),
                         [](const auto& parameter) {
                           return test_name(std::get<0>(parameter.param) + "_" + std::get<1>(parameter.param));
                         });

// What was guessed is shared when it is sure, and never before: the pages and the prefix cache behind an answer are the
// same with and without drafts.
TEST(DraftPages, AreThoseOfAnAnswerWithoutDrafts) {
  Request request;
  request.max_tokens = 90;
  request.ignore_eos = true;
  request.sampling.seed = 3;
  std::vector<RequestOutcome> answers(1);
  std::optional<EngineStats> wanted;
  for (const int turn : {0, 1, 2, 3}) {
    Rig rig = open_rig(fixture_model("llama-gqa"), "cpu", small_options(128, 2));
    request.ids = make_ids(20, 5, rig->vocab());
    Oracle oracle(turn == 1 ? Kind::kRight : turn == 2 ? Kind::kWrong : Kind::kMixed, rig->vocab(), answers);
    oracle.expect(1, 0);
    Scheduler scheduler(*rig, {.running_max = 1, .drafts = turn == 0 ? nullptr : &oracle, .drafts_max = 40});
    const auto id = scheduler.submit(request);
    ASSERT_TRUE(id.ok());
    const RequestOutcome answer = run_all(scheduler)[*id];
    if (turn == 0) {
      answers[0] = answer;
      wanted = rig->stats();
    }
    EXPECT_TRUE(answer.same_tokens(answers[0]));
    const EngineStats stats = rig->stats();
    EXPECT_EQ(stats.n_pages_cached, 3) << turn;
    EXPECT_EQ(stats.n_pages_copied, 0) << turn;
    EXPECT_EQ(stats.n_pages_cached, wanted->n_pages_cached);
    // All of the answer is found again.
    std::vector<int32_t> ids = request.ids;
    ids.insert(ids.end(), answer.ids.begin(), answer.ids.end());
    const auto session = rig->new_session();
    EXPECT_EQ(session->adopt_prefix(ids), 96) << turn;
  }
}

// A guess whose numbers are not finite, or that no page is left for, costs its request nothing but the guess.
TEST(DraftFailures, AreForgotten) {
  const int32_t poison = 17;
  const auto folder = std::filesystem::path(::testing::TempDir()) / ("naru_draft_" + std::to_string(::getpid()));
  std::filesystem::remove_all(folder);
  std::filesystem::copy(fixture_model("llama-gqa"), folder);
  {
    const auto files = formats::TensorFiles::open(folder);
    const auto* entry = files->find("model.embed_tokens.weight");
    std::fstream file(folder / "model.safetensors", std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(entry->offset + poison * entry->shape[1] * int64_t{sizeof(float)});
    const float nan = std::numeric_limits<float>::quiet_NaN();
    file.write(reinterpret_cast<const char*>(&nan), sizeof nan);
  }
  class Poison : public DraftSource {
   public:
    std::vector<int32_t> draft(RequestId, const Request&, std::span<const int32_t>, int64_t) override {
      return {poison};
    }
  } source;
  Rig rig = open_rig(folder, "cpu", small_options(64, 1));
  std::vector<RequestOutcome> answers;
  for (DraftSource* drafts : {static_cast<DraftSource*>(nullptr), static_cast<DraftSource*>(&source)}) {
    Scheduler scheduler(*rig, {.drafts = drafts});
    Request request;
    request.ids = {3, 4, 5};
    request.max_tokens = 20;
    request.ignore_eos = true;
    request.sampling.logit_bias = {{poison, -1000.0f}};
    ASSERT_TRUE(scheduler.submit(request).ok());
    answers.push_back(run_all(scheduler).begin()->second);
  }
  EXPECT_EQ(answers[0].reason, FinishReason::kLength);
  EXPECT_TRUE(answers[1].same_tokens(answers[0]));
  EXPECT_EQ(answers[1].usage.drafted_tokens, 0);
  expect_no_pages_held(*rig);
  std::filesystem::remove_all(folder);
}

TEST(DraftFailures, TakeNoPageFromARequest) {
  Rig rig = open_rig(fixture_model("llama-gqa"), "cpu", small_options(64, 1));  // two pages
  const auto holder = rig->new_session();
  feed_bits(*rig, *holder, make_ids(32, 2, rig->vocab()));
  Request request;
  request.ids = make_ids(20, 5, rig->vocab());
  request.max_tokens = 13;  // the last token is never fed: 32 positions
  request.ignore_eos = true;
  std::vector<RequestOutcome> answers;
  for (const bool has_drafts : {false, true}) {
    Oracle oracle(Kind::kWrong, rig->vocab(), answers);
    oracle.expect(1, 0);
    Scheduler scheduler(*rig, {.running_max = 1, .drafts = has_drafts ? &oracle : nullptr, .drafts_max = 8});
    ASSERT_TRUE(scheduler.submit(request).ok());
    answers.push_back(run_all(scheduler).begin()->second);
    EXPECT_EQ(answers.back().reason, FinishReason::kLength);
    EXPECT_EQ(scheduler.n_preemptions(), 0);
  }
  EXPECT_TRUE(answers[1].same_tokens(answers[0]));
}

}  // namespace
}  // namespace naru::engine
