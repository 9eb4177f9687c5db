// Policy losses against another computation of the papers' formulas (tools/make_policy_fixtures.py), and what they are
// at the first update, where the policy is the one that sampled.
#include "train/policy_loss.h"

#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "tests/models/harness.h"

namespace naru::train {
namespace {

using Json = nlohmann::json;

const Json& policy_fixture() {
  static const Json kJson = models::read_json(std::filesystem::path(NARU_TEST_DATA) / "train" / "policy.json");
  return kJson;
}

PolicyOptions options_of(const Json& json) {
  PolicyOptions options;
  const std::string form = json["form"];
  options.form = form == "token"      ? PolicyForm::kToken
                 : form == "sequence" ? PolicyForm::kSequence
                                      : PolicyForm::kWeighted;
  options.clip_low = json["clip_low"];
  options.clip_high = json["clip_high"];
  options.kl_weight = json["kl_weight"];
  options.kl = json["kl"] == "k3" ? KlEstimator::kK3 : KlEstimator::kUnbiased;
  if (!json["off_policy_max"].is_null()) options.off_policy_max = json["off_policy_max"].get<double>();
  return options;
}

// Answers behind prompts of two tokens, whose rows have no weight; all values there would be seen.
struct Answers {
  data::MicroBatch batch;
  std::vector<float> log_probs;
  std::vector<double> losses, gradient;

  void add(double advantage, const std::vector<float>& at, const std::vector<float>& old,
           const std::vector<float>& reference) {
    const auto begin = std::ssize(batch.ids);
    batch.signals.resize(4);
    for (size_t i = 0; i < at.size() + 2; ++i) {
      const bool is_sampled = i >= 2;
      batch.ids.push_back(7);
      batch.targets.push_back(7);
      batch.positions.push_back(static_cast<int32_t>(i));
      batch.signals[kOnPolicy].push_back(0.0f);
      batch.weights.push_back(is_sampled ? 0.5f : 0.0f);
      log_probs.push_back(is_sampled ? at[i - 2] : 0.0f);
      batch.signals[kAdvantage].push_back(is_sampled ? static_cast<float>(advantage) : 99.0f);
      batch.signals[kOldLogProb].push_back(is_sampled ? old[i - 2] : -3.0f);
      batch.signals[kReferenceLogProb].push_back(is_sampled ? reference[i - 2] : -4.0f);
    }
    batch.documents.push_back({begin, std::ssize(batch.ids) - begin});
  }
};

Answers answers_of(const Json& json) {
  Answers answers;
  for (size_t a = 0; a < json["answers"].size(); ++a) {
    const Json& one = json["answers"][a];
    answers.add(one["advantage"], one["log_probs"], one["old"], one["reference"]);
    for (const double x : json["losses"][a]) answers.losses.push_back(x);
    for (const double x : json["gradient"][a]) answers.gradient.push_back(x);
  }
  return answers;
}

TEST(PolicyLoss, IsThatOfThePapers) {
  ASSERT_GT(policy_fixture()["cases"].size(), 50U);
  for (const Json& json : policy_fixture()["cases"]) {
    SCOPED_TRACE(json["options"].dump());
    const PolicyLoss loss(options_of(json["options"]));
    const Answers answers = answers_of(json);
    std::vector<float> losses(answers.log_probs.size(), 55.0f), factors = losses;
    ASSERT_TRUE(loss.weigh(answers.batch, answers.log_probs, losses, factors).ok());
    size_t k = 0;
    for (size_t i = 0; i < losses.size(); ++i) {
      if (answers.batch.weights[i] == 0) continue;
      // f32 signals, formulas in double: what is left is the rounding of the result.
      EXPECT_NEAR(losses[i], answers.losses[k], 1e-6 * (1 + std::abs(answers.losses[k]))) << i;
      EXPECT_NEAR(-factors[i], answers.gradient[k], 1e-6 * (1 + std::abs(answers.gradient[k]))) << i;
      ++k;
    }
    EXPECT_EQ(k, answers.losses.size());
  }
}

TEST(PolicyLoss, IsReinforceWhereThePolicyIsTheOneThatSampled) {
  Answers answers;
  const std::vector<float> p = {-0.1f, -2.5f, -7.25f};
  answers.add(1.5, p, p, p);
  answers.add(-0.25, p, p, p);
  for (const PolicyForm form : {PolicyForm::kToken, PolicyForm::kSequence, PolicyForm::kWeighted}) {
    const PolicyLoss loss({.form = form, .kl_weight = 0.1, .off_policy_max = 0.0});
    std::vector<float> losses(answers.log_probs.size()), factors = losses;
    ASSERT_TRUE(loss.weigh(answers.batch, answers.log_probs, losses, factors).ok());
    for (size_t i = 0; i < losses.size(); ++i) {
      if (answers.batch.weights[i] == 0) continue;
      EXPECT_EQ(factors[i], answers.batch.signals[kAdvantage][i]) << i;
    }
    const PolicyStatistics statistics = loss.statistics(answers.batch, answers.log_probs);
    EXPECT_EQ(statistics.n_tokens, 6);
    EXPECT_EQ(statistics.n_changed, 0);
    EXPECT_EQ(statistics.n_clipped, 0);
    EXPECT_EQ(statistics.n_masked, 0);
    EXPECT_EQ(statistics.ratio_least, 1.0);
    EXPECT_EQ(statistics.ratio_most, 1.0);
    EXPECT_EQ(statistics.kl, 0.0);
  }
}

TEST(PolicyLoss, RefusesATokenWhoseBitsDifferFromWhatItsOwnPolicySaid) {
  Answers answers;
  answers.add(1, {-0.5f, -0.25f}, {-0.5f, std::nextafter(-0.25f, 0.0f)}, {-1, -1});
  const PolicyLoss loss({});
  std::vector<float> losses(answers.log_probs.size()), factors = losses;
  EXPECT_TRUE(loss.weigh(answers.batch, answers.log_probs, losses, factors).ok());
  for (float& on : answers.batch.signals[kOnPolicy]) on = 1;
  const Status status = loss.weigh(answers.batch, answers.log_probs, losses, factors);
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code, Code::kInternal);
  EXPECT_NE(status.error().message.find("position 3"), std::string::npos) << status.error().message;
}

TEST(PolicyLoss, CountsWhatAnUpdateDid) {
  Answers answers;
  answers.add(1, {-1.0f, -1.0f, -1.0f}, {-1.0f, -1.5f, -0.5f}, {-1.0f, -1.0f, -1.0f});  // r: 1, 1.65, 0.61
  answers.add(-1, {-3.0f}, {-1.0f}, {-1.0f});                                           // r: 0.14, masked
  const PolicyLoss loss({.off_policy_max = 1.0});
  const PolicyStatistics statistics = loss.statistics(answers.batch, answers.log_probs);
  EXPECT_EQ(statistics.n_tokens, 4);
  EXPECT_EQ(statistics.n_changed, 3);
  EXPECT_EQ(statistics.n_clipped, 1);
  EXPECT_EQ(statistics.n_masked, 1);
  EXPECT_NEAR(statistics.ratio_least, std::exp(-2.0), 1e-12);
  EXPECT_NEAR(statistics.ratio_most, std::exp(0.5), 1e-12);
}

TEST(PolicyLoss, StaysFiniteWhereThePolicyIsFarAway) {
  Answers answers;
  answers.add(2, {-1e-3f, -3e4f}, {-3e4f, -1e-3f}, {-3e4f, -1e-3f});
  for (const PolicyForm form : {PolicyForm::kToken, PolicyForm::kSequence, PolicyForm::kWeighted}) {
    const PolicyLoss loss({.form = form, .kl_weight = 0.001, .off_policy_max = {}});
    std::vector<float> losses(answers.log_probs.size()), factors = losses;
    ASSERT_TRUE(loss.weigh(answers.batch, answers.log_probs, losses, factors).ok());
    for (size_t i = 0; i < losses.size(); ++i) {
      EXPECT_TRUE(std::isfinite(losses[i]) && std::isfinite(factors[i])) << i;
    }
  }
}

TEST(GroupAdvantages, AreThoseOfThePapers) {
  for (const Json& json : policy_fixture()["advantages"]) {
    const auto rewards = json["rewards"].get<std::vector<double>>();
    const auto check = [&](AdvantageKind kind, const char* name) {
      const std::vector<double> got = group_advantages(kind, rewards);
      ASSERT_EQ(got.size(), rewards.size());
      for (size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i], json[name][i].get<double>(), 1e-12) << json.dump();
    };
    check(AdvantageKind::kGroupStd, "group_std");
    check(AdvantageKind::kGroupMean, "group_mean");
  }
}

TEST(AnswerWeights, AverageAsAsked) {
  const std::vector<int64_t> lengths = {2, 8, 5};
  const AnswerWeights answers = answer_weights(Averaging::kAnswerMean, lengths, 32);
  EXPECT_EQ(answers.of_token, (std::vector<float>{0.5f, 0.125f, 0.2f}));
  EXPECT_EQ(answers.divisor, 3.0);
  EXPECT_EQ(answer_weights(Averaging::kTokenMean, lengths, 32).divisor, 15.0);
  EXPECT_EQ(answer_weights(Averaging::kConstant, lengths, 32).divisor, 96.0);
  EXPECT_EQ(answer_weights(Averaging::kConstant, lengths, 32).of_token, (std::vector<float>{1, 1, 1}));
}

}  // namespace
}  // namespace naru::train
