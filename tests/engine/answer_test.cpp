// Answers followed among others: the text and the tokens of each are those it has alone, and a stop string ends its own
// request and no other.
#include "engine/answer.h"

#include <map>

#include "tests/engine/harness.h"

namespace naru::engine {
namespace {

Request question(const Engine& engine, uint64_t seed) {
  Request request;
  request.ids = engine.tokenizer()->encode("question " + std::to_string(seed), {});
  request.sampling.seed = seed;
  request.sampling.temperature = 1.0;
  request.max_tokens = 24;
  request.ignore_eos = true;
  request.top_logprobs = 0;
  return request;
}

// Follows all of them in one scheduler; the texts given out, joined, are the answers'.
std::vector<Answer> follow(Engine& engine, const std::vector<uint64_t>& seeds,
                           const std::vector<TextOptions>& options) {
  Scheduler scheduler(engine);
  std::map<RequestId, AnswerFollower> followers;
  std::vector<RequestId> order;
  for (size_t i = 0; i < seeds.size(); ++i) {
    auto follower =
        AnswerFollower::submit(scheduler, *engine.tokenizer(), question(engine, seeds[i]), options[i]).value();
    order.push_back(follower.request());
    followers.emplace(order.back(), std::move(follower));
  }
  std::map<RequestId, std::string> texts;
  while (!scheduler.is_idle()) {
    for (const Event& event : scheduler.step()) {
      const auto delta = followers.at(event.request).take(event);
      EXPECT_TRUE(delta.ok());
      texts[event.request] += delta->content;
    }
  }
  std::vector<Answer> answers;
  for (const RequestId id : order) {
    EXPECT_TRUE(followers.at(id).is_finished());
    answers.push_back(followers.at(id).answer());
    EXPECT_EQ(texts[id], answers.back().text);
  }
  return answers;
}

Rig open_small(int64_t sessions) {
  return open_rig(fixture_model("gguf-llama-f32"), "cpu", small_options(128, sessions));
}

TEST(AnswerFollower, AmongOthersAsAlone) {
  const std::vector<uint64_t> seeds = {1, 2, 3, 4, 5};
  Rig together = open_small(5);
  ASSERT_NE(together->tokenizer(), nullptr);
  const std::vector<Answer> answers = follow(*together, seeds, std::vector<TextOptions>(5));
  for (size_t i = 0; i < seeds.size(); ++i) {
    Rig alone = open_small(1);
    const Answer answer = follow(*alone, {seeds[i]}, {{}}).front();
    EXPECT_EQ(answers[i].text, answer.text);
    EXPECT_EQ(answers[i].ids, answer.ids);
    EXPECT_EQ(answers[i].logprobs, answer.logprobs);
    EXPECT_EQ(answers[i].reason, FinishReason::kLength);
    EXPECT_EQ(answers[i].usage.completion_tokens, 24);
    EXPECT_EQ(answers[i].timings.decoded, 23);
    EXPECT_EQ(answers[i].logprobs.size(), 24u);
  }
}

TEST(AnswerFollower, AStopStringEndsItsOwnRequest) {
  const std::vector<uint64_t> seeds = {1, 2, 3};
  Rig rig = open_small(3);
  const std::vector<Answer> free = follow(*rig, seeds, std::vector<TextOptions>(3));
  ASSERT_GE(free[1].text.size(), 8u);
  std::vector<TextOptions> options(3);
  options[1].stop = {free[1].text.substr(free[1].text.size() / 2, 3)};
  const std::vector<Answer> answers = follow(*rig, seeds, options);
  EXPECT_EQ(answers[0].text, free[0].text);
  EXPECT_EQ(answers[2].text, free[2].text);
  EXPECT_EQ(answers[1].text, free[1].text.substr(0, free[1].text.find(options[1].stop.front())));
  EXPECT_EQ(answers[1].reason, FinishReason::kStop);
  EXPECT_LT(answers[1].ids.size(), free[1].ids.size());
  expect_no_pages_held(*rig);
}

TEST(AnswerFollower, ARefusedRequestIsAnError) {
  Rig rig = open_small(1);
  Scheduler scheduler(*rig);
  TextOptions options;
  options.stop = {""};
  EXPECT_FALSE(AnswerFollower::submit(scheduler, *rig->tokenizer(), question(*rig, 1), options).ok());
  Request request = question(*rig, 1);
  request.ids.assign(1000, 2);
  EXPECT_FALSE(AnswerFollower::submit(scheduler, *rig->tokenizer(), std::move(request), {}).ok());
  EXPECT_TRUE(scheduler.is_idle());
}

}  // namespace
}  // namespace naru::engine
