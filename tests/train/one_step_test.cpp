// Models in lock step: a forward run by the engine and a whole step of training, on the CPU chip beside the reference.
// Without a fault all ops are alike; one in an op of the gradients is named by its layer.
#include "train/one_step.h"

#include <fmt/format.h>

#include "check/faulty_chip.h"
#include "check/lock_step_chip.h"
#include "contract/op_table.h"
#include "engine/engine.h"
#include "tests/train/rig.h"

namespace naru::train {
namespace {

struct Beside {
  std::vector<check::OpDifference> differences;
  int64_t n_ops = 0;
};

models::ModelFiles files_of(const std::string& name) {
  return models::open_model_files(models::fixture_model(name)).value();
}

std::vector<int32_t> some_ids(const std::string& name) {
  auto ids = models::read_json(models::fixture_folder(name) / "ids.json").get<std::vector<int32_t>>();
  ids.resize(std::min<size_t>(ids.size(), 40));
  return ids;
}

Beside step_beside(const std::string& name, contract::Chip& checked, const OneStep& step = {}) {
  const auto reference = test::make_chip("reference");
  check::DifferenceLog log;
  const auto both = check::make_lock_step_chip(checked, *reference, log);
  const Status status = run_one_step(files_of(name), some_ids(name), step, *both);
  EXPECT_TRUE(status.ok()) << name << (status.ok() ? "" : status.error().message);
  return {log.found().differences, log.n_ops()};
}

Beside forward_beside(const std::string& name, contract::Chip& checked) {
  const auto reference = test::make_chip("reference");
  check::DifferenceLog log;
  const auto both = check::make_lock_step_chip(checked, *reference, log);
  const std::vector<int32_t> ids = some_ids(name);
  engine::EngineOptions options;
  options.memory.context_tokens = std::ssize(ids);
  const auto engine = engine::Engine::open(files_of(name), options, *both).value();
  const auto session = engine->new_session();
  EXPECT_TRUE(engine->feed(*session, std::span(ids).first(ids.size() - 1)).ok()) << name;
  EXPECT_TRUE(engine->feed(*session, std::span(ids).last(1)).ok()) << name;
  return {log.found().differences, log.n_ops()};
}

TEST(OneStep, ChipsAreAlikeInLockStep) {
  for (const char* name : {"llama-gqa", "v3-mtp", "v2-lite", "qwen2-gqa"}) {
    for (const contract::ComputeMode mode : {contract::ComputeMode::kF32, contract::ComputeMode::kBF16}) {
      const auto chip = test::make_chip("distant");
      const Beside found = step_beside(name, *chip, {.compute = mode, .is_latent = std::nullopt});
      EXPECT_TRUE(found.differences.empty()) << name << difference_text(found.differences.front(), "here", "there");
      EXPECT_GT(found.n_ops, 50) << name;
    }
  }
  for (const char* name : {"llama-gqa", "v3-mtp", "gguf-llama-kinds", "v3-fp8"}) {
    const auto chip = test::make_chip("cpu");
    const Beside found = forward_beside(name, *chip);
    EXPECT_TRUE(found.differences.empty()) << name << difference_text(found.differences.front(), "here", "there");
    EXPECT_GT(found.n_ops, 20) << name;
  }
}

// Every op that a step of this model has: those with the fault are named, each time and alone.
TEST(OneStep, AFaultIsNamedInItsLayer) {
  const std::map<std::string, std::pair<std::string, int64_t>> first_and_count = {
      {"attention_grad", {"the gradients of layer 1", 2}},
      {"silu_mul_grad", {"the gradients of layer 1", 2}},
      {"rms_norm", {"layer 0", 5}},
      {"embed_grad", {"behind the layers", 1}},
      {"cross_entropy", {"behind the layers", 1}},
      {"adamw", {"behind the layers", 1}},
      {"sum_of_squares", {"behind the layers", 1}}};
  for (const auto& [op, wanted] : first_and_count) {
    check::FaultyChip chip(test::make_chip("distant"), check::parse_fault("flip@" + op).value());
    const Beside found = step_beside("llama-gqa", chip);
    ASSERT_EQ(std::ssize(found.differences), wanted.second) << op;
    EXPECT_EQ(place_text(found.differences.front().place), fmt::format("pass 1, {}, {}", wanted.first, op));
    for (const check::OpDifference& each : found.differences) {
      EXPECT_EQ(contract::op_name(each.place.op), op);
      EXPECT_NE(each.values.checked, each.values.against);
    }
  }
}

TEST(OneStep, OnAPlannerItComputesNothing) {
  const auto chip = test::make_chip("cpu");
  const auto planner = chip->planner();
  check::DifferenceLog log;
  EXPECT_TRUE(run_one_step(files_of("v3-mtp"), some_ids("v3-mtp"), {}, *planner).ok());
}

TEST(OneStep, WhatCannotBeLearnt) {
  const auto chip = test::make_chip("cpu");
  const std::vector<int32_t> one = {1};
  EXPECT_EQ(run_one_step(files_of("llama-gqa"), one, {}, *chip).error().code, Code::kInvalidArgument);
}

}  // namespace
}  // namespace naru::train
