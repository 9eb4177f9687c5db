// What is said where training gives a token another log-probability than its rollout: the first layer and op that
// differ, wherever the fault lies; and that a fault of one moment is one.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tests/train/flipping_chip.h"
#include "tests/train/grpo_rig.h"

namespace naru::train {
namespace {

using test::Flip;
using test::FlippingChip;

// Answers one by one, so that their tokens are passes of one row.
recipes::Recipe one_by_one(const GrpoRig& rig, const std::string& name) {
  recipes::Recipe recipe = rig.grpo(name);
  recipe.grpo.updates = 1;
  recipe.grpo.at_once = 1;
  recipe.steps = 3;
  return recipe;
}

std::string failure(const GrpoRig& rig, const recipes::Recipe& recipe, const Flip& flip) {
  FlippingChip chip(best_cpu(), flip);
  const auto result = rig.run(recipe, chip);
  if (result.ok()) return "";
  EXPECT_EQ(result.error().code, Code::kInternal);
  return result.error().message;
}

void expect_named(const GrpoRig& rig, const recipes::Recipe& recipe, const Flip& flip, const std::string& place) {
  const std::string message = failure(rig, recipe, flip);
  EXPECT_NE(message.find("comparing a rollout with the trainer: "), std::string::npos) << message;
  EXPECT_NE(message.find("the first value that differs is of " + place), std::string::npos) << place << "\n" << message;
  EXPECT_NE(message.find("row 0, column 0, is "), std::string::npos) << message;
  EXPECT_NE(message.find("--chip reference goes on from it"), std::string::npos) << message;
}

// The fault is in the passes of rollouts alone, in training alone, in what both have.
TEST(RolloutDifference, NamesLayerAndOpOfADenseModel) {
  const GrpoRig rig("llama.json");
  const recipes::Recipe recipe = one_by_one(rig, "dense");
  expect_named(rig, recipe, {.op = "attention", .layer = 1}, "layer 1, attention: its 'out' [2, 8] of the token at");
  expect_named(rig, recipe, {.op = "rms_norm", .layer = 0}, "layer 0, rms_norm");
  expect_named(rig, recipe, {.op = "matmul", .layer = 1, .output = 0},
               "layer 1, matmul (model.layers.1.self_attn.q_proj.weight): its 'out' [1, 16]");
  expect_named(rig, recipe, {.op = "embed"}, "embedding, embed");
  expect_named(rig, recipe, {.op = "matmul"}, "head, matmul (model.embed_tokens.weight): its 'out' [1, 405]");
  const std::string sampler = failure(rig, recipe, {.op = "log_prob", .rows_min = 30, .rows_max = 48, .row = 20});
  EXPECT_NE(sampler.find("by the sampler and "), std::string::npos) << sampler;
  const std::string chip = "by log_prob of chip " + best_cpu().info().name;
  EXPECT_NE(sampler.find(chip + ", which is not exact there"), std::string::npos) << sampler;
  expect_named(rig, recipe, {.op = "add", .layer = 0, .rows_min = 30, .rows_max = 48}, "layer 0, add");
}

TEST(RolloutDifference, NamesLayerAndOpOfExpertsAndLatentAttention) {
  const GrpoRig rig;
  for (const char* form : {"expanded", "latent"}) {
    for (const bool is_bf16 : {false, true}) {
      for (const int64_t rank : {0, 2}) {
        recipes::Recipe recipe = one_by_one(rig, fmt::format("{}-{}-{}", form, is_bf16, rank));
        recipe.model.form = form;
        recipe.compute = is_bf16 ? contract::ComputeMode::kBF16 : contract::ComputeMode::kF32;
        recipe.lora.rank = rank;
        expect_named(rig, recipe, {.op = "attention", .layer = 1}, "layer 1, attention: its 'out' [2, 8]");
        expect_named(rig, recipe, {.op = "combine", .layer = 1}, "layer 1, combine");
        expect_named(rig, recipe, {.op = "route", .layer = 1, .output = 1}, "layer 1, route: its 'gates' [1, 2]");
        if (rank > 0) expect_named(rig, recipe, {.op = "axpby", .layer = 0}, "layer 0, axpby");
      }
    }
  }
}

TEST(RolloutDifference, SaysThatAFaultOfOneMomentIsOne) {
  const GrpoRig rig;
  const recipes::Recipe recipe = one_by_one(rig, "transient");
  const std::string rollouts = failure(rig, recipe, {.op = "combine", .layer = 1, .times = 1});
  EXPECT_NE(rollouts.find("are alike both ways"), std::string::npos) << rollouts;
  EXPECT_NE(rollouts.find("not what the rollout said: the difference was transient"), std::string::npos) << rollouts;
  EXPECT_NE(rollouts.find("the same command goes on from it"), std::string::npos) << rollouts;
  const std::string trainers =
      failure(rig, recipe, {.op = "add", .layer = 0, .rows_min = 30, .rows_max = 48, .times = 1});
  EXPECT_NE(trainers.find(", what the rollout said: the difference was transient"), std::string::npos) << trainers;
  // A fault that shows itself in the first of two repetitions: the last flip of all is left out.
  Flip often{.op = "combine", .layer = 1};
  FlippingChip counting(best_cpu(), often);
  ASSERT_FALSE(rig.run(recipe, counting).ok());
  often.times = counting.n_flips() - 1;
  const std::string once = failure(rig, recipe, often);
  EXPECT_NE(once.find("of layer 1, combine: its 'out' [1, 16] of"), std::string::npos) << once;
  EXPECT_NE(once.find("which was alike when it was computed once more"), std::string::npos) << once;
  // It does go on: the fault is over.
  EXPECT_EQ(rig.finished(recipe, best_cpu()), rig.finished(one_by_one(rig, "whole"), best_cpu()));
}

}  // namespace
}  // namespace naru::train
