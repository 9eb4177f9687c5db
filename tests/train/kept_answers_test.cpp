// Answers that a run keeps to be looked at, and what it measures of them.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/train/grpo_rig.h"
#include "train/answer_group.h"
#include "train/held_out.h"

namespace naru::train {
namespace {

std::string file_text(const recipes::Recipe& recipe, const char* name) {
  std::ifstream file(fs::path(recipe.output) / name, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::vector<nlohmann::json> lines_of(const recipes::Recipe& recipe, const char* name) {
  std::vector<nlohmann::json> lines;
  std::istringstream text(file_text(recipe, name));
  for (std::string line; std::getline(text, line);) lines.push_back(nlohmann::json::parse(line));
  return lines;
}

// Held-out problems always of one number, at one temperature each; problems and groups kept, and all of it the same
// however often the run is stopped.
TEST(KeptAnswers, GoBackAndForthWithTheRun) {
  const GrpoRig rig;
  const auto grpo = [&rig](const std::string& name) {
    recipes::Recipe recipe = rig.grpo(name);
    recipe.validation = recipe.data;
    recipe.validate.every = 2;
    recipe.validate.problems = 8;
    recipe.validate.samples = 2;
    recipe.checkpoint.every = 3;
    return recipe;
  };
  const recipes::Recipe whole = grpo("whole");
  TrainerEvents told;
  std::vector<int64_t> steps;
  told.metrics = [&steps](const runs::Metrics& line) { steps.push_back(line.step); };
  const auto result = rig.run(whole, best_cpu(), told);
  ASSERT_TRUE(result.ok()) << result.error().message;
  EXPECT_EQ(result->n_problems, 8);
  std::string measured;
  for (const nlohmann::json& line : lines_of(whole, "metrics.jsonl")) {
    if (!line.contains("accuracy")) continue;
    measured += line["step"].dump() + " ";
    for (const char* name : {"accuracy", "pass_1", "pass_2"}) {
      ASSERT_TRUE(line.contains(name)) << name;
      EXPECT_GE(line[name], 0.0);
      EXPECT_LE(line[name], 1.0);
    }
    EXPECT_LE(line["pass_1"], line["pass_2"]);
  }
  EXPECT_EQ(measured, "0 2 4 6 ");
  EXPECT_EQ(steps, (std::vector<int64_t>{0, 1, 2, 2, 3, 4, 4, 5, 6, 6}));
  EXPECT_EQ(lines_of(whole, "problems.jsonl").size(), 4u * runs::kProblemsKept);
  const std::vector<nlohmann::json> groups = lines_of(whole, "groups.jsonl");
  ASSERT_GE(groups.size(), 3u);  // of each of three rollouts one that teaches something
  for (const nlohmann::json& group : groups) {
    EXPECT_EQ(group["answers"].size(), 4u);
    EXPECT_EQ(group["parts"].size(), group["answers"][0]["parts"].size());
  }

  const recipes::Recipe stopped = grpo("stopped");
  for (const int64_t k : {25, 40}) ASSERT_TRUE(rig.run(stopped, best_cpu(), stop_after(k)).ok());
  std::vector<int64_t> told_again;
  told.metrics = [&told_again](const runs::Metrics& line) { told_again.push_back(line.step); };
  ASSERT_TRUE(rig.run(stopped, best_cpu(), told).ok());
  EXPECT_EQ(told_again, steps) << "what was before the stop is told again";
  EXPECT_EQ(file_text(stopped, "problems.jsonl"), file_text(whole, "problems.jsonl"));
  EXPECT_EQ(file_text(stopped, "groups.jsonl"), file_text(whole, "groups.jsonl"));
}

// Against 1 - C(n - c, k) / C(n, k) by counting.
TEST(KeptAnswers, PassAtKIsUnbiased) {
  EXPECT_EQ(pass_at(1, 1, 4), 0.25);
  EXPECT_EQ(pass_at(4, 0, 4), 0);
  EXPECT_EQ(pass_at(4, 1, 4), 1);
  EXPECT_DOUBLE_EQ(pass_at(2, 1, 4), 1 - 3.0 / 6);
  EXPECT_DOUBLE_EQ(pass_at(3, 2, 10), 1 - 56.0 / 120);
  for (int64_t c = 0; c <= 5; ++c) EXPECT_DOUBLE_EQ(pass_at(1, c, 5), static_cast<double>(c) / 5);
}

TEST(KeptAnswers, LengthsHaveQuantiles) {
  AnswerGroup group;
  for (const int64_t length : {9, 1, 3, 2, 4, 5, 6, 7, 8, 40}) {
    group.answers.push_back({.prompt = {1},
                             .ids = std::vector<int32_t>(static_cast<size_t>(length), 2),
                             .log_probs = {},
                             .is_cut = length == 40});
    group.texts.push_back(std::to_string(length));
    group.judgements.push_back({.is_right = length < 3, .reward = length < 3 ? 1.0 : 0.0, .parts = {1}});
    group.advantages.push_back(length < 3 ? 1 : -1);
  }
  const auto value = [metrics = rollout_metrics({group}, {"answer"})](std::string_view name) {
    for (const auto& [key, number] : metrics) {
      if (key == name) return number;
    }
    return -1.0;
  };
  EXPECT_EQ(value("answer_tokens"), 8.5);
  EXPECT_EQ(value("answer_tokens_p10"), 1);
  EXPECT_EQ(value("answer_tokens_p50"), 5);
  EXPECT_EQ(value("answer_tokens_p90"), 9);
  EXPECT_EQ(value("answer_tokens_max"), 40);
  EXPECT_EQ(value("cut_share"), 0.1);
  // One group that teaches something, and none that does not.
  const auto shown = shown_groups({group}, {"answer"}, false);
  ASSERT_EQ(shown.size(), 1u);
  EXPECT_EQ(shown[0].answers.size(), 10u);
  EXPECT_TRUE(shown[0].answers[9].is_cut);
  EXPECT_EQ(shown[0].answers[1].advantage, 1);
}

}  // namespace
}  // namespace naru::train
