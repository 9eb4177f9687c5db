// What a policy is drawn from and kept near to, in whole runs: temperature and truncation, the reference, rounds of
// problems. Each run ends with the same weights however it is stopped and by however many processes it is made.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/train/grpo_rig.h"

namespace naru::train {
namespace {

using Json = nlohmann::json;

// Without what a clock says.
std::vector<Json> values_of(const recipes::Recipe& recipe) {
  std::vector<Json> lines;
  std::ifstream file(fs::path(recipe.output) / "metrics.jsonl");
  for (std::string line; std::getline(file, line);) {
    lines.push_back(Json::parse(line));
    for (const char* key : kMeasuredMetrics) lines.back().erase(key);
  }
  return lines;
}

struct WholeRun {
  std::string weights;
  std::vector<Json> lines;
};

WholeRun run_of(const GrpoRig& rig, const recipes::Recipe& recipe, contract::Chip& chip = best_cpu()) {
  WholeRun run;
  run.weights = rig.finished(recipe, chip);
  run.lines = values_of(recipe);
  return run;
}

// Stopped at the k-th question, and gone on with.
void expect_goes_on(const GrpoRig& rig, recipes::Recipe recipe, const std::string& wanted, int64_t k) {
  recipe.output = rig.run_folder(fmt::format("{}-at-{}", recipe.name, k)).string();
  recipe.checkpoint.every = 1 + k % 2;
  const auto first = rig.run(recipe, best_cpu(), stop_after(k));
  ASSERT_TRUE(first.ok()) << first.error().message;
  EXPECT_FALSE(first->is_done);
  EXPECT_EQ(rig.finished(recipe, best_cpu()), wanted) << recipe.name << " stopped at question " << k;
}

TEST(GrpoPolicy, IsWhatTheRolloutDrewFrom) {
  const GrpoRig rig;
  const std::string plain = rig.finished(rig.grpo("plain"), best_cpu());
  for (const char* name : {"hot", "cut", "all"}) {
    recipes::Recipe recipe = rig.grpo(name);
    if (recipe.name != "cut") recipe.grpo.temperature = 1.3;
    if (recipe.name != "hot") recipe.grpo.top_p = 0.9;
    if (recipe.name == "all") recipe.grpo.top_k = 40, recipe.grpo.min_p = 0.02;
    const WholeRun whole = run_of(rig, recipe);
    ASSERT_EQ(whole.weights.size(), 64u);
    EXPECT_NE(whole.weights, plain) << name;
    double n_compared = 0;
    for (const Json& line : whole.lines) {
      if (!line.contains("tokens_compared")) continue;
      n_compared += line["tokens_compared"].get<double>();
      EXPECT_EQ(line["tokens_compared_total"], n_compared);
      EXPECT_LE(line["ratio_least"], line["ratio_most"]);
      if (line["step"].get<int64_t>() % 2 == 1) {  // on the policy that sampled
        EXPECT_EQ(line["ratio_least"], 1.0);
        EXPECT_EQ(line["ratio_most"], 1.0);
        EXPECT_EQ(line["tokens_changed"], 0.0);
        EXPECT_GT(line["tokens_compared"], 0.0);
        EXPECT_GT(line["entropy"], 0.0);
      } else {
        EXPECT_EQ(line["tokens_compared"], 0.0);
        EXPECT_GT(line["tokens_changed"], 0.0);
        EXPECT_LT(line["ratio_least"], 1.0);
      }
    }
    EXPECT_GT(n_compared, 100) << name;
    const auto single = test::make_chip("cpu", 1);
    recipes::Recipe one = recipe;
    one.output = rig.run_folder(std::string(name) + "-one").string();
    one.grpo.at_once = 1;
    const WholeRun again = run_of(rig, one, *single);
    EXPECT_EQ(again.weights, whole.weights) << name;
    EXPECT_EQ(again.lines, whole.lines) << name;
    // In a rollout, and with an update left on one.
    for (const int64_t k : {20, 31}) expect_goes_on(rig, recipe, whole.weights, k);
  }
}

TEST(GrpoPolicy, IsKeptNearItsReference) {
  const GrpoRig rig;
  const std::string plain = rig.finished(rig.grpo("plain"), best_cpu());
  for (const char* name : {"start", "renewed", "adapters"}) {
    recipes::Recipe recipe = rig.grpo(name);
    recipe.grpo.kl_weight = 0.5;
    if (recipe.name != "start") recipe.grpo.kl = "unbiased";
    if (recipe.name == "renewed") recipe.grpo.reference_every = 2, recipe.grpo.top_k = 50;
    if (recipe.name == "adapters") recipe.lora.rank = 2, recipe.grpo.temperature = 1.2;
    const WholeRun whole = run_of(rig, recipe);
    EXPECT_NE(whole.weights, plain);
    int64_t n_updates = 0;
    for (const Json& line : whole.lines) {
      if (!line.contains("kl")) continue;
      const bool is_near = recipe.name == "renewed" ? n_updates % 2 == 0 : n_updates == 0;
      if (is_near) {
        EXPECT_EQ(line["kl"], 0.0) << name << ": the policy is its reference, " << line;
      } else {
        EXPECT_GT(line["kl"], 0.0) << name << " " << line;
      }
      ++n_updates;
    }
    EXPECT_EQ(n_updates, 6);
    for (const int64_t k : {20, 31, 45}) expect_goes_on(rig, recipe, whole.weights, k);
  }
}

TEST(GrpoPolicy, RefusesAnotherStartThanItsReference) {
  const GrpoRig rig;
  recipes::Recipe recipe = rig.grpo("moved");
  recipe.grpo.kl_weight = 0.1;
  recipe.checkpoint.every = 1;
  ASSERT_TRUE(rig.run(recipe, best_cpu(), stop_after(31)).ok());
  const fs::path weights = fs::path(recipe.model.path) / "model.safetensors";
  std::fstream file(weights, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(-2, std::ios::end);  // of the last value
  file.put('\x12');
  file.close();
  const auto refused = rig.open(recipe, best_cpu());
  ASSERT_FALSE(refused.ok());
  EXPECT_NE(refused.error().message.find("put the old one back"), std::string::npos) << refused.error().message;
}

TEST(GrpoPolicy, AsksOtherProblemsInPlaceOfThoseWithoutASignal) {
  const GrpoRig rig;
  recipes::Recipe recipe = rig.grpo("rounds");
  recipe.grpo.soft_tokens = 2;  // most groups are flat
  recipe.grpo.rounds = 5;
  const WholeRun whole = run_of(rig, recipe);
  int64_t n_rollouts = 0, n_more = 0;
  for (const Json& line : whole.lines) {
    if (!line.contains("problems_asked")) continue;
    ++n_rollouts;
    const auto n_asked = line["problems_asked"].get<double>();
    const double n_signals = n_asked * (1 - line["flat_groups"].get<double>());
    n_more += n_asked > 4 ? 1 : 0;
    EXPECT_GE(n_asked, 4);
    EXPECT_LE(n_asked, 20);
    EXPECT_NEAR(line["flat_kept"].get<double>(), 1 - n_signals / 4, 1e-12) << line;
  }
  EXPECT_EQ(n_rollouts, 3);
  EXPECT_GT(n_more, 0);
  for (const int64_t k : {20, 33}) expect_goes_on(rig, recipe, whole.weights, k);
  // Where no group ever has one there is an update that changes nothing but what decays.
  recipes::Recipe none = rig.grpo("none");
  none.grpo.rounds = 2;
  none.grpo.soft_tokens = 0;
  none.grpo.max_tokens = 1;
  none.loss.balance = 0;
  for (const Json& line : run_of(rig, none).lines) {
    if (line.contains("grad_norm")) {
      EXPECT_EQ(line["grad_norm"], 0.0) << line;
    }
    if (line.contains("flat_kept")) {
      EXPECT_EQ(line["flat_kept"], 1.0) << line;
    }
    if (line.contains("problems_asked")) {
      EXPECT_EQ(line["problems_asked"], 8.0) << line;
    }
  }
}

}  // namespace
}  // namespace naru::train
