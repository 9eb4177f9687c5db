// The distribution that tokens are drawn from: against mpmath (tools/make_policy_fixtures.py), and the sampler's own
// word for it bit for bit.
#include "engine/kept_softmax.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "engine/sampler.h"
#include "tests/models/harness.h"

namespace naru::engine {
namespace {

TEST(KeptSoftmax, IsTheSoftmaxOfWhatIsKept) {
  const auto json = models::read_json(std::filesystem::path(NARU_TEST_DATA) / "train" / "policy.json");
  ASSERT_GT(json["drawn"].size(), 10U);
  KeptSoftmax softmax;
  for (const auto& one : json["drawn"]) {
    const auto logits = one["logits"].get<std::vector<float>>();
    const auto kept = one["kept"].get<std::vector<int32_t>>();
    std::vector<float> x;
    for (const int32_t id : kept) x.push_back(logits[static_cast<size_t>(id)]);
    softmax.set(x, one["temperature"].get<float>());
    const auto target = std::find(kept.begin(), kept.end(), one["target"].get<int32_t>()) - kept.begin();
    EXPECT_NEAR(softmax.log_prob(static_cast<size_t>(target)), one["log_prob"].get<double>(),
                1e-6 * (1 + std::abs(one["log_prob"].get<double>())));
    std::vector<double> slopes(logits.size(), 0.0);
    for (size_t i = 0; i < kept.size(); ++i) {
      slopes[static_cast<size_t>(kept[i])] = softmax.slope(i, static_cast<size_t>(target));
    }
    for (size_t i = 0; i < slopes.size(); ++i) {
      EXPECT_NEAR(slopes[i], one["slopes"][i].get<double>(), 1e-6) << one["temperature"] << " " << i;
    }
  }
}

// What training computes of the kept logits alone is what the sampler said when it drew from the whole row.
TEST(KeptSoftmax, HasTheSamplersBits) {
  std::mt19937 random(3);
  std::normal_distribution<float> normal(0, 2);
  Sampler sampler;
  KeptSoftmax softmax;
  int64_t n_dropped = 0;
  for (int round = 0; round < 600; ++round) {
    std::vector<float> logits(static_cast<size_t>(round % 7 == 0 ? 1 + round / 7 : 777));
    for (float& x : logits) x = normal(random);
    if (round % 5 == 0) std::fill(logits.begin(), logits.end(), 1.5f);
    SamplingOptions options;
    options.seed = static_cast<uint64_t>(round);
    options.temperature = std::vector<double>{1, 0.6, 1.7, 0.01}[static_cast<size_t>(round % 4)];
    options.top_k = std::vector<int64_t>{0, 20, 100000}[static_cast<size_t>(round % 3)];
    options.top_p = round % 2 == 0 ? 1 : 0.9;
    options.min_p = round % 11 == 0 ? 0.05 : 0;
    const auto id = sampler.sample(logits, options, {}, 0, static_cast<uint64_t>(round));
    ASSERT_TRUE(id.ok());
    const std::vector<int32_t> kept = sampler.kept();
    ASSERT_TRUE(std::is_sorted(kept.begin(), kept.end()));
    const auto found = std::lower_bound(kept.begin(), kept.end(), *id);
    ASSERT_TRUE(found != kept.end() && *found == *id);
    if (!truncates(options, std::ssize(logits))) {
      softmax.set(logits, static_cast<float>(options.temperature));
      ASSERT_EQ(softmax.log_prob(static_cast<size_t>(*id)), sampler.log_prob()) << round;
    }
    n_dropped += std::ssize(logits) - std::ssize(kept);
    std::vector<float> x;
    for (const int32_t one : kept) x.push_back(logits[static_cast<size_t>(one)]);
    softmax.set(x, static_cast<float>(options.temperature));
    ASSERT_EQ(softmax.log_prob(static_cast<size_t>(found - kept.begin())), sampler.log_prob()) << round;
  }
  EXPECT_GT(n_dropped, 1000);
  SamplingOptions greedy;
  greedy.temperature = 0;
  ASSERT_EQ(*sampler.sample(std::vector<float>{1, 3, 2}, greedy, {}, 0, 0), 1);
  EXPECT_EQ(sampler.log_prob(), 0.0f);
  EXPECT_EQ(sampler.kept(), (std::vector<int32_t>{1}));
}

}  // namespace
}  // namespace naru::engine
