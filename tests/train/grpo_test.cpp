// Reinforcement learning by groups: a run's weights are a function of its recipe however it is stopped, with any number
// of threads and answers at once; every token has the trainer's bits. And what batches of answers are.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/train/grpo_rig.h"
#include "train/answer_batch.h"

namespace naru::train {
namespace {

std::vector<nlohmann::json> metrics_of(const recipes::Recipe& recipe) {
  std::vector<nlohmann::json> lines;
  std::ifstream file(fs::path(recipe.output) / "metrics.jsonl");
  for (std::string line; std::getline(file, line);) lines.push_back(nlohmann::json::parse(line));
  return lines;
}

// That every rollout of a run had something to learn: else its weights would be the same whatever became of its
// answers.
void expect_signal(const recipes::Recipe& recipe) {
  int64_t n_rollouts = 0;
  for (const nlohmann::json& line : metrics_of(recipe)) {
    if (!line.contains("reward")) continue;
    ++n_rollouts;
    EXPECT_LT(line["flat_groups"], 1.0) << "rollout " << n_rollouts << ", of " << line["answer_tokens"] << " tokens";
  }
  EXPECT_EQ(n_rollouts, 3);
}

// What each step says of its time: a rollout's beside the first update on it.
void expect_speeds(const recipes::Recipe& recipe) {
  int64_t n_steps = 0;
  for (const nlohmann::json& line : metrics_of(recipe)) {
    if (!line.contains("policy_loss")) continue;
    ++n_steps;
    EXPECT_EQ(line.contains("rollout_seconds"), line.contains("reward"));
    for (const char* name : {"update_seconds", "update_tokens_per_s"}) EXPECT_GT(line[name], 0.0) << name;
    if (!line.contains("reward")) continue;
    const double tokens = line["answer_tokens"].get<double>() * 16;
    EXPECT_NEAR(line["rollout_tokens_per_s"].get<double>() * line["rollout_seconds"].get<double>(), tokens,
                1e-6 * tokens);
  }
  EXPECT_EQ(n_steps, 6);
}

TEST(Grpo, GivesTheSameWeightsHoweverItIsRun) {
  const GrpoRig rig;
  const recipes::Recipe recipe = rig.grpo("whole");
  const std::string wanted = rig.finished(recipe, best_cpu());
  ASSERT_EQ(wanted.size(), 64u);
  for (const nlohmann::json& line : metrics_of(recipe)) {
    if (!line.contains("reward")) continue;
    EXPECT_GT(line["answer_tokens"], 0.0);
    EXPECT_LE(line["answer_tokens"], 24.0);
  }
  expect_signal(recipe);
  expect_speeds(recipe);
  recipes::Recipe one_by_one = rig.grpo("one-by-one");
  one_by_one.grpo.at_once = 1;
  const auto single = test::make_chip("cpu", 1);
  EXPECT_EQ(rig.finished(one_by_one, *single), wanted);
  recipes::Recipe other = rig.grpo("other");
  other.seed = 2;
  EXPECT_NE(rig.finished(other, best_cpu()), wanted);
}

TEST(Grpo, GoesOnFromAnywhere) {
  const GrpoRig rig;
  const std::string wanted = rig.finished(rig.grpo("whole"), best_cpu());
  expect_signal(rig.grpo("whole"));
  const auto goes_on = [&](recipes::Recipe recipe, const TrainerEvents& events, int64_t step) {
    const auto first = rig.run(recipe, best_cpu(), events);
    ASSERT_TRUE(first.ok()) << first.error().message;
    EXPECT_FALSE(first->is_done) << "a question behind the end";
    EXPECT_TRUE(step < 0 || first->step == step) << first->step;
    EXPECT_EQ(rig.finished(recipe, best_cpu()), wanted) << recipe.name;
  };
  for (const int64_t every : {1, 3}) {
    for (const int64_t k : {2, 20, 31, 60}) {  // in rollouts, and in the steps on them
      recipes::Recipe recipe = rig.grpo(fmt::format("asked-{}-{}", every, k));
      recipe.checkpoint.every = every;
      goes_on(recipe, stop_after(k), -1);
    }
    for (const int64_t step : {1, 2, 3, 5}) {  // odd: an update is left on a rollout whose weights are gone
      recipes::Recipe recipe = rig.grpo(fmt::format("behind-{}-{}", every, step));
      recipe.checkpoint.every = every;
      bool stops = false;
      TrainerEvents events;
      events.step = [&stops, step](const StepReport& report) { stops = report.step == step; };
      events.should_stop = [&stops] { return stops; };
      goes_on(recipe, events, step);
    }
  }
}

TEST(Grpo, HasTheTrainersBitsWithAdaptersAndInBf16) {
  const GrpoRig rig;
  for (const bool is_bf16 : {false, true}) {
    for (const int64_t rank : {0, 2}) {
      recipes::Recipe recipe = rig.grpo(fmt::format("{}-{}", is_bf16 ? "bf16" : "f32", rank));
      recipe.compute = is_bf16 ? contract::ComputeMode::kBF16 : contract::ComputeMode::kF32;
      recipe.lora.rank = rank;
      recipe.grpo.updates = 1;  // a token whose bits differ stops the run
      EXPECT_EQ(rig.finished(recipe, best_cpu()).size(), 64u);
    }
  }
}

TEST(Grpo, RefusesPromptsWithoutRoomForAnAnswer) {
  const GrpoRig rig("llama.json");
  recipes::Recipe recipe = rig.grpo("narrow");
  recipe.batch.context = 16;
  const auto refused = rig.open(recipe, best_cpu());
  ASSERT_FALSE(refused.ok());
  EXPECT_NE(refused.error().message.find("raise batch.context"), std::string::npos) << refused.error().message;
}

JudgedAnswer answer(std::vector<int32_t> prompt, std::vector<int32_t> ids, double advantage) {
  JudgedAnswer judged;
  judged.answer.prompt = std::move(prompt);
  for (size_t i = 0; i < ids.size(); ++i) judged.answer.log_probs.push_back(-0.5f - static_cast<float>(i));
  judged.answer.ids = std::move(ids);
  judged.advantage = advantage;
  return judged;
}

TEST(AnswerBatch, TargetsAreTheTokensThatWereSampled) {
  const data::StepBatch batch =
      answer_batch({answer({1, 2, 3}, {4, 5}, 1.5), answer({6}, {7}, -2), answer({8, 9}, {10, 11, 12}, 0.5)},
                   Averaging::kAnswerMean, 8, 8, true);
  ASSERT_EQ(batch.micro_batches.size(), 2u);  // 5 and 2 tokens, then 5
  EXPECT_EQ(batch.n_tokens, 12);
  EXPECT_EQ(batch.divisor, 3.0);
  const data::MicroBatch& first = batch.micro_batches[0];
  EXPECT_EQ(first.ids, (std::vector<int32_t>{1, 2, 3, 4, 5, 6, 7}));
  EXPECT_EQ(first.positions, (std::vector<int32_t>{0, 1, 2, 3, 4, 0, 1}));
  EXPECT_EQ(first.targets, (std::vector<int32_t>{2, 3, 4, 5, 0, 7, 0}));
  EXPECT_EQ(first.weights, (std::vector<float>{0, 0, 0.5f, 0.5f, 0, 1, 0}));
  EXPECT_EQ(first.signals[kAdvantage], (std::vector<float>{0, 0, 1.5f, 1.5f, 0, -2, 0}));
  EXPECT_EQ(first.signals[kOldLogProb], (std::vector<float>{0, 0, -0.5f, -1.5f, 0, -0.5f, 0}));
  EXPECT_EQ(first.signals[kOnPolicy], (std::vector<float>{0, 0, 1, 1, 0, 1, 0}));
  ASSERT_EQ(first.documents.size(), 2u);
  EXPECT_EQ(first.documents[1].row_begin, 5);
  EXPECT_EQ(first.documents[1].n_rows, 2);
}

// With the tokens that were kept and the reference's signal.
TEST(AnswerBatch, KeptBytesHaveTheSetsOfTokens) {
  JudgedAnswer one = answer({1, 2}, {4, 5, 6}, 1.5), other = answer({6}, {7}, -2);
  one.answer.kept.add(std::vector<int32_t>{4}, 40);
  one.answer.kept.add(std::vector<int32_t>{0, 3, 5, 39}, 40);
  one.answer.kept.add(std::vector<int32_t>{6}, 40);
  other.answer.kept.add(std::vector<int32_t>{7, 8}, 40);
  data::StepBatch batch = answer_batch({one, other}, Averaging::kTokenMean, 8, 64, true);
  data::MicroBatch& micro = batch.micro_batches[0];
  ASSERT_EQ(micro.kept.rows(), 7u);
  EXPECT_FALSE(micro.kept.has(0) || micro.kept.has(4) || micro.kept.has(6));
  EXPECT_EQ(micro.kept.ids(2, 40), (std::vector<int32_t>{0, 3, 5, 39}));
  EXPECT_EQ(micro.kept.ids(5, 40), (std::vector<int32_t>{7, 8}));
  micro.signals.push_back(std::vector<float>(7, -0.5f));
  const std::string bytes = batches_to_bytes(3, {batch});
  const BatchForm form{.n_signals = 4, .keeps_tokens = true};
  const auto kept = batches_from_bytes(bytes, 40, form);
  ASSERT_TRUE(kept.ok()) << kept.error().message;
  EXPECT_EQ(kept->batches[0].micro_batches[0].kept, micro.kept);
  EXPECT_EQ(kept->batches[0].micro_batches[0].signals, micro.signals);
  EXPECT_FALSE(batches_from_bytes(bytes, 40).ok());
  EXPECT_FALSE(batches_from_bytes(bytes, 39, form).ok()) << "39 is kept where there are 0 to 38";
  for (size_t i = 0; i < bytes.size(); ++i) {
    EXPECT_FALSE(batches_from_bytes(std::string_view(bytes).substr(0, i), 40, form).ok()) << i;
    for (const char x : {'\0', '\x7f', '\xff', '\x05'}) {
      std::string damaged = bytes;
      damaged[i] = x;
      const auto read = batches_from_bytes(damaged, 40, form);
      EXPECT_TRUE(read.ok() || read.error().code == Code::kCorrupt);
    }
  }
  // A target that is not among the kept tokens of its row.
  data::StepBatch foreign = batch;
  foreign.micro_batches[0].targets[5] = 9;
  EXPECT_FALSE(batches_from_bytes(batches_to_bytes(3, {foreign}), 40, form).ok());
}

TEST(AnswerBatch, KeptBytesGiveTheBatchesBack) {
  const std::vector<data::StepBatch> batches = {
      answer_batch({answer({1, 2, 3}, {4, 5}, 1.5)}, Averaging::kTokenMean, 8, 64, true),
      answer_batch({answer({6}, {7}, -2), answer({8, 9}, {10, 11, 12}, 0.5)}, Averaging::kConstant, 8, 64, false)};
  const std::string bytes = batches_to_bytes(7, batches);
  const auto kept = batches_from_bytes(bytes, 13);
  ASSERT_TRUE(kept.ok()) << kept.error().message;
  EXPECT_EQ(kept->index, 7);
  ASSERT_EQ(kept->batches.size(), 2u);
  for (size_t b = 0; b < 2; ++b) {
    EXPECT_EQ(kept->batches[b].divisor, batches[b].divisor);
    EXPECT_EQ(kept->batches[b].n_tokens, batches[b].n_tokens);
    const data::MicroBatch &got = kept->batches[b].micro_batches[0], &wanted = batches[b].micro_batches[0];
    EXPECT_EQ(got.ids, wanted.ids);
    EXPECT_EQ(got.positions, wanted.positions);
    EXPECT_EQ(got.targets, wanted.targets);
    EXPECT_EQ(got.weights, wanted.weights);
    EXPECT_EQ(got.signals, wanted.signals);
    EXPECT_EQ(got.documents.size(), wanted.documents.size());
  }
  EXPECT_FALSE(batches_from_bytes(bytes, 12).ok()) << "a token of 12 where there are 0 to 11";
  EXPECT_FALSE(batches_from_bytes(bytes + "x", 13).ok());
  EXPECT_FALSE(batches_from_bytes(batches_to_bytes(0, {data::StepBatch{.micro_batches = {}, .divisor = 1}}), 13).ok());
  // Cut anywhere, or with any byte changed: refused, or batches whose rows fit together.
  for (size_t i = 0; i < bytes.size(); ++i) {
    EXPECT_FALSE(batches_from_bytes(std::string_view(bytes).substr(0, i), 13).ok()) << i;
    for (const char x : {'\0', '\x7f', '\xff', '\x9b'}) {
      std::string damaged = bytes;
      damaged[i] = x;
      const auto read = batches_from_bytes(damaged, 13);
      EXPECT_TRUE(read.ok() || read.error().code == Code::kCorrupt);
    }
  }
}

}  // namespace
}  // namespace naru::train
