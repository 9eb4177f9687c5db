// What rollouts and held-out problems may take, refused before the first step; and whose numbers a step tells.
#include <gtest/gtest.h>

#include "tests/train/grpo_rig.h"
#include "train/rollout.h"
#include "train/rollout_batches.h"

namespace naru::train {
namespace {

std::string plan_refusal(const GrpoRig& rig, const recipes::Recipe& recipe) {
  const auto plan = Trainer::plan_run(recipe, rig.path(), best_cpu(), {});
  return plan.ok() ? "" : plan.error().message;
}

recipes::Recipe with_held_out_file(const GrpoRig& rig, size_t n_words) {
  std::string words;
  for (size_t i = 0; i < n_words; ++i) words += " 1";
  std::ofstream(rig.path() / "held.jsonl") << R"({"prompt": "1 + 1 =", "answer": 2})"
                                           << "\n"
                                           << nlohmann::json{{"prompt", words}, {"answer", 1}}.dump() << "\n";
  recipes::Recipe recipe = rig.grpo("held-out");
  recipes::SourceRecipe source;
  source.path = "held.jsonl";
  recipe.validation = {source};
  return recipe;
}

TEST(RolloutLimits, HeldOutPromptsLeaveRoomForAnswers) {
  const GrpoRig rig("llama.json");
  const recipes::Recipe fits = with_held_out_file(rig, 8);
  EXPECT_EQ(plan_refusal(rig, fits), "");
  const recipes::Recipe is_long = with_held_out_file(rig, 90);
  const std::string said = plan_refusal(rig, is_long);
  EXPECT_NE(said.find("planning the held-out problems: the prompt of problem held.jsonl:2 has"), std::string::npos)
      << said;
  EXPECT_NE(said.find("raise batch.context"), std::string::npos) << said;
}

TEST(RolloutLimits, ThePlanCountsHeldOutProblems) {
  const GrpoRig rig("llama.json");
  recipes::Recipe recipe = with_held_out_file(rig, 8);
  const auto with = Trainer::plan_run(recipe, rig.path(), best_cpu(), {});
  recipe.validation.clear();
  const auto without = Trainer::plan_run(recipe, rig.path(), best_cpu(), {});
  ASSERT_TRUE(with.ok() && without.ok());
  EXPECT_GT(with->data_bytes, without->data_bytes);
}

TEST(RolloutLimits, AtOnceHoldsForHeldOutProblemsToo) {
  const GrpoRig rig("llama.json");
  recipes::Recipe recipe = rig.grpo("at-once");
  const std::string wanted = rig.finished(recipe, best_cpu());
  recipe = rig.grpo("two-at-once");
  recipe.grpo.at_once = 2;
  recipe.validation = recipe.data;
  recipe.validate.every = 3;
  recipe.validate.problems = 5;
  recipe.validate.samples = 2;
  const auto files = open_training_model(recipe, rig.path());
  ASSERT_TRUE(files.ok()) << files.error().message;
  EXPECT_EQ(Rollout::size(recipe, *files)->sessions, 2);
  EXPECT_EQ(rig.finished(recipe, best_cpu()), wanted);
}

TEST(RolloutLimits, HeldOutAnswersHaveNumbersOfTheirOwn) {
  const GrpoRig rig("llama.json");
  recipes::Recipe recipe = rig.grpo("numbers");
  recipe.steps = 2 * (int64_t{UINT32_MAX} / 16);
  EXPECT_EQ(plan_refusal(rig, recipe), "");
  recipe.validation = recipe.data;
  recipe.validate.problems = 8;
  recipe.validate.samples = 2;
  EXPECT_NE(plan_refusal(rig, recipe).find("have no numbers of their own, at most 4294967279 answers"),
            std::string::npos)
      << plan_refusal(rig, recipe);
  recipe.steps -= 2;
  EXPECT_EQ(plan_refusal(rig, recipe), "");
}

// A rollout's parts, on the model as the base run left it.
struct RolloutParts {
  recipes::Recipe recipe;
  TrainingModelFiles files;
  std::unique_ptr<RolloutBatches> batches;

  RolloutParts(const GrpoRig& rig, recipes::Recipe of) : recipe(std::move(of)) {
    files = open_training_model(recipe, rig.path()).value();
    auto judge =
        std::make_shared<rewards::Judge>(rewards::Judge::open(rewards::judge_options(recipe, rig.path()), {}).value());
    batches = RolloutBatches::open(recipe, files, rig.path(), std::move(judge)).value();
  }
};

TEST(RolloutLimits, SetsOfAMicroBatchHavePlaces) {
  const GrpoRig rig("llama.json");
  recipes::Recipe recipe = rig.grpo("sets");
  recipe.grpo.prompts = 4096;
  recipe.grpo.answers = 16;
  recipe.batch.micro_rows = 1 << 20;
  RolloutParts all(rig, recipe);
  all.files.config.vocab = 150000;
  EXPECT_TRUE(all.batches->largest(2, nullptr).ok());
  all.recipe.grpo.top_p = 0.9;
  const auto refused = all.batches->largest(2, nullptr);
  ASSERT_FALSE(refused.ok());
  EXPECT_NE(refused.error().message.find("up to 1572864 answer tokens, and of each up to 4688 words"),
            std::string::npos)
      << refused.error().message;
  all.recipe.grpo.top_k = 64;
  EXPECT_TRUE(all.batches->largest(2, nullptr).ok());
}

TEST(RolloutLimits, TheFirstStepOnARolloutTellsOfIt) {
  const GrpoRig rig;
  RolloutParts all(rig, rig.grpo("left-out"));
  auto model = TrainableModel::create(
      best_cpu(), all.files.config, {}, [&all](int64_t i, float* out) { return all.files.read(i, all.recipe, out); },
      1);
  ASSERT_TRUE(model.ok()) << model.error().message;
  auto rollout = Rollout::open(*model, all.files, all.recipe);
  ASSERT_TRUE(rollout.ok()) << rollout.error().message;
  const ModelNow now{.model = *model, .rollout = [&rollout]() -> Result<Rollout*> { return &*rollout; }};
  RolloutBatches& batches = *all.batches;
  ASSERT_TRUE(batches.largest(6, nullptr).ok());
  ASSERT_TRUE(batches.step(3, now).ok());  // step 2 is left out
  EXPECT_FALSE(batches.metrics(3).empty());
  EXPECT_FALSE(batches.shown_groups(3).empty());
  EXPECT_EQ(batches.kept(3), "") << "its weights are there";
  ASSERT_TRUE(batches.step(4, now).ok());
  EXPECT_FALSE(batches.metrics(4).empty());
  ASSERT_TRUE(batches.step(5, now).ok());
  EXPECT_TRUE(batches.metrics(5).empty());
  const std::string kept = batches.kept(5);
  EXPECT_FALSE(kept.empty());
  ASSERT_TRUE(batches.restore(5, kept).ok());
  ASSERT_TRUE(batches.step(5, now).ok());
  EXPECT_TRUE(batches.metrics(5).empty());
  EXPECT_EQ(batches.kept(5), kept);
}

TEST(RolloutLimits, TextsAreWithoutWhatEndedThem) {
  const GrpoRig rig;
  RolloutParts all(rig, rig.grpo("ends"));
  auto model = TrainableModel::create(
      best_cpu(), all.files.config, {}, [&all](int64_t i, float* out) { return all.files.read(i, all.recipe, out); },
      1);
  ASSERT_TRUE(model.ok()) << model.error().message;
  auto rollout = Rollout::open(*model, all.files, all.recipe);
  ASSERT_TRUE(rollout.ok()) << rollout.error().message;
  const std::vector<int32_t> prompt = all.files.tokenizer->encode("1 + 1 =", {});
  const data::Problem problem =
      data::ProblemSource::open(all.recipe.data[0], 1, data::Split::kTrain, rig.path()).value().at(0);
  const auto asked = problem_prompt(all.recipe, all.files, problem);
  const auto answers = rollout->sample({asked->ids}, {.answers = 32, .max_tokens = 24});
  ASSERT_TRUE(answers.ok()) << answers.error().message;
  for (const SampledAnswer& answer : *answers) EXPECT_NE(answer.is_ended, answer.is_cut);
  SampledAnswer plain{.prompt = prompt, .ids = prompt, .log_probs = {}};  // ids that are no special ones
  EXPECT_EQ(rollout->text_of(plain), all.files.tokenizer->decode(prompt, true));
  plain.is_ended = true;
  EXPECT_EQ(rollout->text_of(plain),
            all.files.tokenizer->decode(std::vector<int32_t>(prompt.begin(), prompt.end() - 1), true));
}

}  // namespace
}  // namespace naru::train
