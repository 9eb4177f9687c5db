// Kept routing: given the experts that routers choose nothing changes, given others the gradient is that of the loss
// with those; runs keep them over kills; and what a checkpoint keeps of them.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tests/train/grpo_rig.h"
#include "train/kept_routing.h"

namespace naru::train {
namespace {

std::vector<std::string> fixtures_with_experts() {
  std::vector<std::string> names;
  for (const std::string& name : folder_fixtures()) {
    if (RoutingShape::of(fixture_source(name).config).layers > 0) names.push_back(name);
  }
  return names;
}

data::MicroBatch two_documents(const Source& source) {
  return batch_of({slice(source.ids, 0, 9), slice(source.ids, 3, 5)});
}

TEST(KeptRouting, OwnChoicesChangeNoBit) {
  for (const std::string& name : fixtures_with_experts()) {
    const Source& source = fixture_source(name);
    const RoutingShape shape = RoutingShape::of(source.config);
    const data::MicroBatch batch = two_documents(source);
    for (TrainableModel::Options options : all_options(source)) {
      for (const bool recompute : {false, true}) {
        options.recompute = recompute;
        TrainableModel model = make_model(best_cpu(), source, options, batch, 0.01);
        const Gradients free = gradients_of(model, batch, 0.01);
        data::MicroBatch kept = batch;
        const auto experts = model.choose_experts(batch);
        ASSERT_TRUE(experts.ok()) << experts.error().message;
        ASSERT_EQ(std::ssize(*experts), shape.layers);
        kept.experts = *experts;
        EXPECT_EQ(difference(model, gradients_of(model, kept, 0.01), free), "") << name_of(name, options);
        EXPECT_EQ(*model.choose_experts(kept), *experts);
        kept.experts = next_experts(*experts, shape.chosen, shape.experts);
        EXPECT_NE(difference(model, gradients_of(model, kept, 0.01), free), "") << name_of(name, options);
        EXPECT_EQ(*model.choose_experts(kept), kept.experts);
      }
    }
  }
}

recipes::Recipe four_updates(const GrpoRig& rig, const std::string& name, bool keeps) {
  recipes::Recipe recipe = rig.grpo(name);
  recipe.grpo.updates = 4;
  recipe.grpo.keep_routing = keeps;
  recipe.grpo.clip_low = recipe.grpo.clip_high = 0.5;
  recipe.optimizer.lr = 0.02;
  recipe.steps = 8;
  return recipe;
}

TEST(KeptRouting, TheFirstUpdateIsTheSameAndLaterOnesAreNot) {
  const GrpoRig rig;
  const auto weights = [&](int64_t steps, bool keeps) {
    recipes::Recipe recipe = four_updates(rig, fmt::format("{}-{}", steps, keeps), keeps);
    recipe.steps = steps;
    return rig.finished(recipe, best_cpu());
  };
  EXPECT_EQ(weights(1, true), weights(1, false));
  EXPECT_NE(weights(8, true), weights(8, false));
}

TEST(KeptRouting, RunsGoOnFromAnyStep) {
  const GrpoRig rig;
  const recipes::Recipe whole = four_updates(rig, "whole", true);
  const std::string wanted = rig.finished(whole, best_cpu());
  recipes::Recipe others = four_updates(rig, "others", true);
  others.grpo.at_once = 1;
  const auto single = test::make_chip("cpu", 1);
  EXPECT_EQ(rig.finished(others, *single), wanted);
  for (int64_t step = 1; step < whole.steps; ++step) {
    recipes::Recipe recipe = four_updates(rig, fmt::format("behind-{}", step), true);
    bool stops = false;
    TrainerEvents events;
    events.step = [&stops, step](const StepReport& report) { stops = report.step == step; };
    events.should_stop = [&stops] { return stops; };
    const auto first = rig.run(recipe, best_cpu(), events);
    ASSERT_TRUE(first.ok()) << first.error().message;
    EXPECT_EQ(first->step, step);
    EXPECT_EQ(rig.finished(recipe, best_cpu()), wanted) << step;
  }
  for (const int64_t k : {3, 12, 20, 24, 28, 33, 50}) {  // in rollouts, their choices, and steps
    recipes::Recipe recipe = four_updates(rig, fmt::format("asked-{}", k), true);
    const auto first = rig.run(recipe, best_cpu(), stop_after(k));
    ASSERT_TRUE(first.ok()) << first.error().message;
    EXPECT_FALSE(first->is_done);
    EXPECT_EQ(rig.finished(recipe, best_cpu()), wanted) << k;
  }
}

TEST(KeptRouting, IsRefusedWhereNothingIsRouted) {
  const GrpoRig rig("llama.json");
  const auto refused = rig.open(four_updates(rig, "dense", true), best_cpu());
  ASSERT_FALSE(refused.ok());
  EXPECT_NE(refused.error().message.find("no layer of the model has experts"), std::string::npos)
      << refused.error().message;
}

// Two updates of three and five tokens; two layers that choose two of four.
std::vector<data::StepBatch> kept_batches() {
  std::vector<data::StepBatch> batches(2);
  for (size_t u = 0; u < 2; ++u) {
    data::MicroBatch& micro = batches[u].micro_batches.emplace_back();
    micro.ids.assign(3 + 2 * u, 1);
    if (u == 0) continue;
    for (const int32_t first : {0, 1}) {
      std::vector<int32_t>& layer = micro.experts.emplace_back();
      for (size_t t = 0; t < micro.ids.size(); ++t) layer.insert(layer.end(), {first, first + 2});
    }
  }
  return batches;
}

TEST(KeptRouting, BytesGiveTheExpertsBack) {
  const RoutingShape shape{.layers = 2, .experts = 4, .chosen = 2};
  const std::vector<data::StepBatch> batches = kept_batches();
  const std::string bytes = with_routing("before", batches);
  const auto without = [&] {
    std::vector<data::StepBatch> read = batches;
    for (data::MicroBatch& micro : read[1].micro_batches) micro.experts.clear();
    return read;
  };
  const auto parts = split_routing(bytes);
  ASSERT_TRUE(parts.ok());
  EXPECT_EQ(parts->batches, "before");
  std::vector<data::StepBatch> read = without();
  ASSERT_TRUE(take_routing(parts->experts, shape, read).ok());
  EXPECT_TRUE(read[0].micro_batches[0].experts.empty());
  EXPECT_EQ(read[1].micro_batches[0].experts, batches[1].micro_batches[0].experts);

  const auto refusal = [&](std::string_view experts, const RoutingShape& of) {
    std::vector<data::StepBatch> into = without();
    const Status status = take_routing(experts, of, into);
    EXPECT_TRUE(status.ok() || status.error().code == Code::kCorrupt);
    return status.ok() ? std::string() : status.error().message;
  };
  EXPECT_NE(refusal(parts->experts, {.layers = 2, .experts = 3, .chosen = 2}), "") << "expert 3 of 0 to 2";
  EXPECT_NE(refusal(parts->experts, {.layers = 1, .experts = 4, .chosen = 2}).find("follow their end"),
            std::string::npos);
  EXPECT_NE(refusal(parts->experts, {.layers = 3, .experts = 4, .chosen = 2}).find("cut off"), std::string::npos);
  for (size_t i = 0; i < parts->experts.size(); ++i) {
    EXPECT_NE(refusal(parts->experts.substr(0, i), shape), "") << i;
    for (const char x : {'\0', '\1', '\2', '\3', '\4', '\x7f', '\xff'}) {
      std::string damaged(parts->experts);
      damaged[i] = x;
      const bool may_pass = damaged == parts->experts || (i % 4 == 0 && x >= 0 && x < 4);
      EXPECT_TRUE(may_pass || refusal(damaged, shape) != "") << i << " " << int{x};
    }
  }
  std::string twice(parts->experts);
  twice[4] = twice[0];
  EXPECT_NE(refusal(twice, shape).find("no 2 of 4"), std::string::npos);
  for (size_t n = 0; n < 8 + 6; ++n) EXPECT_FALSE(split_routing(std::string_view(bytes).substr(0, n)).ok()) << n;
}

}  // namespace
}  // namespace naru::train
