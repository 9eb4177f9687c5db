// Alarms: each is raised by the series that it is about, once, and by no run that learns.
#include "runs/alarms.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>

namespace naru::runs {
namespace {

recipes::Recipe grpo_recipe() {
  recipes::Recipe recipe;
  recipe.kind = recipes::RunKind::kGrpo;
  recipe.optimizer.lr = 3e-4;
  recipe.grpo.answers = 16;
  recipe.grpo.max_tokens = 40;
  recipe.grpo.updates = 4;
  return recipe;
}

using Values = std::vector<std::pair<std::string, double>>;

// All that a series of `n` steps raises; what `values` says is put over what a run that learns looks like.
std::vector<Alarm> raised_by(int64_t n, const std::function<Values(int64_t)>& values) {
  AlarmWatch watch(grpo_recipe());
  for (int64_t step = 1; step <= n; ++step) {
    const double done = static_cast<double>(step) / static_cast<double>(n);
    const double noise = 0.03 * std::sin(static_cast<double>(step) * 12.9898);
    Metrics line{.step = step,
                 .values = {{"reward", 0.3 + 0.6 * done + noise},
                            {"rollout_accuracy", 0.3 + 0.6 * done + noise},
                            {"cut_share", 0.2 * (1 - done)},
                            {"flat_groups", 0.1 + 0.6 * done},
                            {"entropy", 0.6 - 0.5 * done},
                            {"kl", 0.05 * done},
                            {"ratio_least", 0.6},
                            {"ratio_most", 1.6},
                            {"grad_norm", 1.0}}};
    for (const auto& [name, value] : values(step)) {
      std::erase_if(line.values, [&wanted = name](const auto& v) { return v.first == wanted; });
      line.values.emplace_back(name, value);
    }
    watch.add(line);
  }
  return watch.all();
}

std::string kinds(const std::vector<Alarm>& alarms) {
  std::string text;
  for (const Alarm& alarm : alarms) text += (text.empty() ? "" : " ") + alarm.kind;
  return text;
}

TEST(Alarms, ARunThatLearnsRaisesNone) {
  EXPECT_EQ(kinds(raised_by(100, [](int64_t) { return Values(); })), "");
  // Nor does one that has learnt all there is: certain, and without signal.
  EXPECT_EQ(kinds(raised_by(60,
                            [](int64_t step) {
                              return step < 20 ? Values()
                                               : Values{{"rollout_accuracy", 0.99},
                                                        {"reward", 0.99},
                                                        {"flat_groups", 0.95},
                                                        {"entropy", 0.001}};
                            })),
            "");
  // Nor one that wavers, nor one that begins flat and finds something.
  EXPECT_EQ(kinds(raised_by(100, [](int64_t step) { return Values{{"reward", step % 2 == 0 ? 0.5 : 0.2}}; })), "");
  EXPECT_EQ(kinds(raised_by(100, [](int64_t step) { return step < 4 ? Values{{"flat_groups", 1}} : Values(); })), "");
}

TEST(Alarms, EntropyThatIsGone) {
  const auto alarms = raised_by(60, [](int64_t step) {
    const double gone = step > 20 ? 0.003 : 0.5;
    return Values{{"entropy", gone}, {"rollout_accuracy", 0.4}, {"reward", 0.4}};
  });
  ASSERT_EQ(kinds(alarms), "entropy");
  EXPECT_EQ(alarms[0].step, 25);
  EXPECT_NE(alarms[0].what.find("0.0030 nats a token, 0.50 at first"), std::string::npos) << alarms[0].what;
  EXPECT_NE(alarms[0].advice.find("optimizer.lr=0.0001"), std::string::npos) << alarms[0].advice;
  // Without a measure of it, what was drawn tells.
  const auto told = raised_by(60, [](int64_t step) {
    return Values{{"entropy", NAN}, {"answer_log_prob", step > 20 ? -0.003 : -0.5}, {"rollout_accuracy", 0.4}};
  });
  EXPECT_EQ(kinds(told), "entropy");
}

TEST(Alarms, GroupsWithoutSignal) {
  const auto hard = raised_by(60, [](int64_t) {
    return Values{{"flat_groups", 0.97}, {"rollout_accuracy", 0.001}, {"reward", 0.001}};
  });
  ASSERT_EQ(kinds(hard), "flat");
  EXPECT_EQ(hard[0].step, 5);
  EXPECT_NE(hard[0].advice.find("easier problems"), std::string::npos);
  EXPECT_NE(hard[0].advice.find("grpo.answers=32"), std::string::npos);
}

TEST(Alarms, AnswersThatAreCutOff) {
  const auto alarms = raised_by(60, [](int64_t step) { return Values{{"cut_share", step > 30 ? 0.98 : 0.3}}; });
  ASSERT_EQ(kinds(alarms), "cut");
  EXPECT_EQ(alarms[0].step, 35);
  EXPECT_EQ(alarm_line(alarms[0]),
            "step 35: 98 % of the answers of the last 5 rollouts were cut off: they have no end that could be right; "
            "try grpo.max_tokens=80 with more batch.context, or a model that was shown how answers end");
}

TEST(Alarms, ARewardThatFalls) {
  const auto alarms = raised_by(60, [](int64_t step) { return step > 30 ? Values{{"reward", 0.1}} : Values(); });
  ASSERT_EQ(kinds(alarms), "reward");
  EXPECT_GT(alarms[0].step, 31);
  EXPECT_LT(alarms[0].step, 37);
  // Rewards below zero: what counts is what was gained.
  EXPECT_EQ(kinds(raised_by(60,
                            [](int64_t step) {
                              const double x = static_cast<double>(step);
                              return Values{{"reward", step <= 30 ? -1 + 0.02 * x : -0.95}};
                            })),
            "reward");
}

// What recipes/grpo-digits.toml with optimizer.lr=3e-4 gave: the first step breaks the model.
TEST(Alarms, ARunWithTooHighALearningRate) {
  constexpr double kRewards[] = {0.348, 0.016, 0.025, 0.146, 0.129, 0.127, 0.088};
  constexpr double kFlat[] = {0.063, 0.813, 0.781, 0.531, 0.625, 0.625, 0.594};
  AlarmWatch watch(grpo_recipe());
  for (int64_t i = 0; i < 7; ++i) {
    watch.add({.step = i + 1,
               .values = {{"reward", kRewards[i]},
                          {"rollout_accuracy", kRewards[i]},
                          {"cut_share", 0},
                          {"flat_groups", kFlat[i]},
                          {"answer_log_prob", -0.45}}});
  }
  ASSERT_EQ(kinds(watch.all()), "reward");
  EXPECT_EQ(alarm_line(watch.all()[0]),
            "step 6: the reward fell from 0.348 to 0.089 (means of 5 rollouts); try optimizer.lr=0.0001 from the "
            "beginning (--start-over), or grpo.kl_weight=0.01, which holds the model near its start");
}

TEST(Alarms, DistanceAndRatios) {
  EXPECT_EQ(kinds(raised_by(60, [](int64_t step) { return Values{{"kl", step > 20 ? 3.0 : 0.1}}; })), "kl");
  const auto once = raised_by(60, [](int64_t step) { return Values{{"ratio_most", step == 20 ? 1e6 : 2}}; });
  EXPECT_EQ(kinds(once), "") << "one token of one update is no alarm";
  const auto often = raised_by(60, [](int64_t step) { return Values{{"ratio_most", step > 20 ? 1e6 : 2}}; });
  ASSERT_EQ(kinds(often), "ratio");
  EXPECT_NE(often[0].advice.find("grpo.updates=2"), std::string::npos);
}

TEST(Alarms, ARewardThatIsEarnedInAnotherWay) {
  const auto alarms = raised_by(100, [](int64_t step) {
    if (step % 20 != 0) return Values();
    return Values{{"accuracy", step <= 40 ? 0.6 : 0.3}};
  });
  ASSERT_EQ(kinds(alarms), "held-out");
  EXPECT_EQ(alarms[0].step, 80) << "the second time";
}

TEST(Alarms, AreOfReinforcementLearningAlone) {
  AlarmWatch watch{recipes::Recipe()};
  for (int64_t step = 1; step < 20; ++step) {
    EXPECT_TRUE(watch.add({.step = step, .values = {{"reward", 0}, {"cut_share", 1}, {"flat_groups", 1}}}).empty());
  }
}

}  // namespace
}  // namespace naru::runs
