// Runs on chips that fail: what rechecks throw away, and what a run that is begun again goes on from. Each ends in the
// weights of a clean one.
#include <fmt/format.h>

#include <chrono>
#include <future>
#include <set>

#include "check/watch.h"
#include "contract/forwarding_chip.h"
#include "tests/train/fault_rig.h"
#include "tests/train/grpo_rig.h"

namespace naru::train {
namespace {

TEST(Recheck, ARunUnderFlipsAndLostOpsEndsInTheWeightsOfACleanOne) {
  const TrainerRig rig;
  for (const char* config : {"llama.json", "v3.json"}) {
    const std::string wanted = clean_weights(rig, rechecked(rig, config, config));
    ASSERT_EQ(wanted.size(), 64u);
    for (const char* fault :
         {"flip:0.001", "lost:0.001", "flip@adamw:0.3", "flip@sum_of_squares:0.3", "doubled:0.001"}) {
      recipes::Recipe recipe = rechecked(rig, fmt::format("{}-{}", config, fault), config);
      const Ended ended = run_under(rig, recipe, fault);
      EXPECT_EQ(ended.weights, wanted) << fault;
      EXPECT_GT(ended.n_faults, 0) << fault;
    }
    // Nothing of that is there by chance.
    recipes::Recipe unchecked = rechecked(rig, fmt::format("{}-unchecked", config), config);
    unchecked.guard.recheck_every = 0;
    EXPECT_NE(run_under(rig, unchecked, "flip:0.001").weights, wanted) << config;
  }
}

// Its n-th copy to the host fails, and none after it.
class OneBadCopyChip final : public contract::ForwardingChip {
 public:
  OneBadCopyChip(contract::Chip& chip, int64_t n) : ForwardingChip(chip), n_(n) {}
  Status copy_out(void* to, ChipAddress from, int64_t bytes) override {
    if (++n_copies_ == n_) return Error{Code::kInternal, "copying to the host: the chip says no; try again"};
    return chip_.copy_out(to, from, bytes);
  }
  int64_t n_copies() const { return n_copies_; }

 private:
  int64_t n_, n_copies_ = 0;
};

TEST(Recheck, AnyCopyToTheHostMayFail) {
  const TrainerRig rig;
  const auto of = [&](const std::string& name) {
    recipes::Recipe recipe = rechecked(rig, name);
    recipe.steps = 2;
    return recipe;
  };
  const std::string wanted = clean_weights(rig, of("clean"));
  const auto inner = test::make_test_chip();
  OneBadCopyChip good(*inner, 0);
  ASSERT_TRUE(rig.run(of("counted"), good, {}).ok());
  constexpr int64_t kPlaces = 24;
  for (int64_t i = 1; i < kPlaces; ++i) {
    OneBadCopyChip chip(*inner, good.n_copies() * i / kPlaces);
    const recipes::Recipe recipe = of(fmt::format("copy-{}", i));
    auto result = rig.run(recipe, chip, {});
    if (!result.ok()) result = rig.run(recipe, chip, {});
    ASSERT_TRUE(result.ok()) << i << ": " << result.error().message;
    EXPECT_EQ(result->weights_sha256, wanted) << i;
  }
}

TEST(Recheck, SaysWhatDiffersAndCountsIt) {
  const TrainerRig rig;
  recipes::Recipe recipe = rechecked(rig, "told");
  FaultyTrainChip chip("flip@adamw:0.4");
  StartOptions start;
  start.fault = "flip@adamw:0.4";
  auto trainer = rig.open(recipe, *chip.chip, chip.events(), start);
  ASSERT_TRUE(trainer.ok()) << trainer.error().message;
  const auto result = (*trainer)->run();
  ASSERT_TRUE(result.ok()) << result.error().message;
  EXPECT_GT(result->recheck_differences, 0);
  EXPECT_EQ(result->fault, "flip@adamw:0.4");
  trainer->reset();
  const auto confirmed = rig.run(recipe, best_cpu());
  ASSERT_TRUE(confirmed.ok());
  EXPECT_EQ(confirmed->fault, "flip@adamw:0.4") << "of a start before";
  EXPECT_TRUE(chip.said("the update of step "));
  EXPECT_TRUE(chip.said("value with other bits (1 bit), first the value of model."));
  EXPECT_TRUE(chip.said(" before; computing it again"));
  const auto runs = runs::list_runs(recipe.output);
  ASSERT_TRUE(runs.ok());
  EXPECT_EQ(runs->front().fault, "flip@adamw:0.4");
  EXPECT_EQ(runs->front().recheck_differences, result->recheck_differences);
  double told = 0;
  EXPECT_TRUE(runs::for_each_metrics(recipe.output, [&](const runs::Metrics& line) {
                for (const auto& [name, value] : line.values) told += name == "recheck_differences" ? value : 0;
              }).ok());
  EXPECT_EQ(static_cast<int64_t>(told), result->recheck_differences);
}

TEST(Recheck, AStepThatNeverAgreesEndsTheRun) {
  const TrainerRig rig;
  recipes::Recipe recipe = rechecked(rig, "never");
  recipe.checkpoint.every = 1;
  const std::string wanted = clean_weights(rig, recipe);
  FaultyTrainChip chip("flip@weight_grad");
  const auto result = rig.run(recipe, *chip.chip, chip.events());
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().code, Code::kInternal);
  for (const char* part :
       {"rechecking the gradient of step 0: 8 tries", "the gradient of model.", "go on from the last"}) {
    EXPECT_NE(result.error().message.find(part), std::string::npos) << result.error().message;
  }
  EXPECT_EQ(rig.finished(recipe, best_cpu()), wanted);
}

// A chip whose memory changes a bit of a weight between two steps.
class ForgettingChip final : public contract::ForwardingChip {
 public:
  using ForwardingChip::ForwardingChip;
  Status run(const contract::Op& op) override {
    if (const auto* update = std::get_if<contract::AdamW>(&op)) place_ = update->weight[0].address;
    return chip_.run(op);
  }
  void forget() {
    uint32_t bits = 0;
    ASSERT_TRUE(chip_.copy_out(&bits, place_, 4).ok());
    bits ^= 1u << 20;
    ASSERT_TRUE(chip_.copy_in(place_, &bits, 4).ok());
  }

 private:
  ChipAddress place_;
};

TEST(Recheck, MemoryBetweenTwoStepsIsCompared) {
  const TrainerRig rig;
  recipes::Recipe recipe = rechecked(rig, "forgets");
  const std::string wanted = clean_weights(rig, recipe);
  for (const int64_t every : {1, 0}) {
    recipe.guard.recheck_every = every;
    recipe.output = rig.run_folder(fmt::format("forgets-{}", every)).string();
    ForgettingChip chip(best_cpu());
    TrainerEvents events;
    events.step = [&](const StepReport& step) {
      if (step.step == 3) chip.forget();
    };
    const auto result = rig.run(recipe, chip, events);
    ASSERT_TRUE(result.ok()) << result.error().message;
    EXPECT_EQ(result->weights_sha256 == wanted, every == 1);
    EXPECT_EQ(result->recheck_differences, every);
  }
}

TEST(Recheck, EveryOtherStepIsRecheckedAlone) {
  const TrainerRig rig;
  recipes::Recipe recipe = rechecked(rig, "now-and-then");
  const std::string wanted = clean_weights(rig, recipe);
  recipe.guard.recheck_every = 3;
  EXPECT_EQ(rig.finished(recipe, best_cpu()), wanted);
  recipe.output = rig.run_folder("now-and-then-faulty").string();
  FaultyTrainChip chip("flip@weight_grad:0.01");
  const auto result = rig.run(recipe, *chip.chip, chip.events());
  ASSERT_TRUE(result.ok()) << result.error().message;
  EXPECT_GT(result->recheck_differences, 0) << "a chip like this one is found at a third of the price";
}

TEST(Recheck, ReinforcementLearningOnAFlippingChip) {
  const GrpoRig rig;
  recipes::Recipe recipe = rig.grpo("grpo");
  recipe.steps = 3;
  recipe.grpo.updates = 1;
  recipe.guard.recheck_every = 1;
  const std::string wanted = clean_weights(rig, recipe);
  const Ended trainer = run_under(rig, recipe, "flip@weight_grad:0.01");
  EXPECT_EQ(trainer.weights, wanted);
  EXPECT_GT(trainer.n_differences, 0);
  // A rollout that the trainer disagrees with is drawn again.
  recipe.output = rig.run_folder("grpo-rollout").string();
  const Ended rollout = run_under(rig, recipe, "flip@attention:0.02");
  EXPECT_EQ(rollout.weights, wanted);
  EXPECT_GT(rollout.n_redrawn, 0) << rollout.n_faults << " faults, " << rollout.n_differences << " thrown away, "
                                  << (rollout.errors.empty() ? "" : rollout.errors.back());
}

// The product that merges an adapter is computed when the run is done.
TEST(Recheck, AdaptersAreMergedTwice) {
  const TrainerRig rig;
  recipes::Recipe base = rig.recipe("base");
  ASSERT_EQ(rig.finished(base, best_cpu()).size(), 64u);
  recipes::Recipe recipe = rig.recipe("adapters");
  recipe.model = {};
  recipe.model.path = (rig.run_folder("base") / "model").string();
  recipe.lora.rank = 2;
  recipe.guard.recheck_every = 1;
  const std::string wanted = clean_weights(rig, recipe);
  EXPECT_EQ(run_under(rig, recipe, "flip@product:0.2").weights, wanted);
  recipe.output = rig.run_folder("adapters-unchecked").string();
  recipe.guard.recheck_every = 0;
  EXPECT_NE(run_under(rig, recipe, "flip@product:0.2").weights, wanted);
}

TEST(TrainFaults, ARunThatFailsNamesChipCallAndOpAndGoesOn) {
  const TrainerRig rig;
  recipes::Recipe recipe = rig.recipe("fails");
  const std::string wanted = clean_weights(rig, recipe);
  struct Wanted {
    const char* fault;
    std::vector<const char*> parts;
  };
  for (const Wanted& each :
       {Wanted{"error@weight_grad:0.004", {"training step ", "run of weight_grad: ", "an error of the chip"}},
        Wanted{"memory@attention:0.1", {"training step ", "run of attention: ", "finds no memory"}},
        Wanted{"gone@matmul:0.004", {"training step ", "run of matmul: ", "not there any more"}},
        Wanted{"error@pack:0.03", {"training step ", "run of pack: ", "an error of the chip"}}}) {
    recipe.output = rig.run_folder(std::string("fails-") + each.fault).string();
    const Ended ended = run_under(rig, recipe, each.fault);
    EXPECT_EQ(ended.weights, wanted) << each.fault;
    ASSERT_FALSE(ended.errors.empty()) << each.fault;
    for (const char* part : each.parts) {
      EXPECT_NE(ended.errors.front().find(part), std::string::npos) << ended.errors.front();
    }
    EXPECT_NE(ended.errors.front().find(fmt::format("chip {}", best_cpu().info().name)), std::string::npos);
  }
}

TEST(TrainFaults, ACallIsWaitedForLessWhereTheRunIsToStop) {
  const auto notes = std::make_shared<check::CallNotes>();
  check::CallPatience patience(notes, 100, 1);  // asked every second
  notes->begin(check::CallNotes::Call::kRun, 0);
  EXPECT_FALSE(patience.is_over());
  for (int i = 0; i < 35; ++i) EXPECT_FALSE(patience.is_over()) << i;
  EXPECT_TRUE(patience.is_over(true));
  notes->end();
  EXPECT_FALSE(patience.is_over(true));
  notes->begin(check::CallNotes::Call::kRun, 0);
  for (int i = 0; i < 101; ++i) EXPECT_FALSE(patience.is_over()) << i;
  EXPECT_TRUE(patience.is_over());
}

TEST(TrainFaults, AHangIsSeenAndTheRunGoesOn) {
  const TrainerRig rig;
  const recipes::Recipe recipe = rig.recipe("hangs");
  const std::string wanted = clean_weights(rig, recipe);
  const auto chip = std::make_shared<FaultyTrainChip>("hang@attention_grad:0.15");
  const auto hold = chip->faulty->hold();
  auto ended = std::make_shared<std::promise<bool>>();
  auto is_ok = ended->get_future();
  check::CallPatience patience(chip->notes, 0.3);
  {
    check::Watch watch;
    const auto end =
        watch.run([&rig, recipe, chip, ended] { ended->set_value(rig.run(recipe, *chip->chip, chip->events()).ok()); },
                  std::function<bool()>([&] { return patience.is_over(); }));
    ASSERT_EQ(end, check::Watch::End::kLeftBehind);
    EXPECT_EQ(chip->notes->text(), "run of attention_grad");
  }
  hold->let_go();
  EXPECT_FALSE(is_ok.get());
  EXPECT_EQ(run_under(rig, recipe, "hang@attention_grad:1e-9").weights, wanted);
}

}  // namespace
}  // namespace naru::train
