// What a plan alone reads: no more of generators than it needs, and nothing once it is given up.
#include <gtest/gtest.h>

#include "tests/train/trainer_rig.h"

namespace naru::train {
namespace {

struct Told {
  int64_t done = 0, total = 0;
  TrainerEvents events() {
    TrainerEvents events;
    events.progress = [this](std::string_view, int64_t n, int64_t of) { done = std::max(done, n), total = of; };
    return events;
  }
};

TEST(Plan, MakesSomeDocumentsOfGeneratorsAlone) {
  const TrainerRig rig;
  recipes::Recipe recipe = rig.recipe("planned");
  recipe.data[0].documents = 8000;
  Told told;
  const auto plan = Trainer::plan_run(recipe, rig.path(), best_cpu(), told.events());
  ASSERT_TRUE(plan.ok()) << plan.error().message;
  EXPECT_EQ(told.total, 2000);
  EXPECT_LT(told.done, 2000);
  Told all;
  const auto opened = rig.open(recipe, best_cpu(), all.events());
  ASSERT_TRUE(opened.ok()) << opened.error().message;
  EXPECT_EQ(all.total, 8000);
  // About what the run takes, within a hundredth.
  const auto near = [](int64_t a, int64_t b) {
    EXPECT_NEAR(static_cast<double>(a), static_cast<double>(b), 0.01 * static_cast<double>(b));
  };
  near(plan->total_bytes(), (*opened)->plan().total_bytes());
  EXPECT_NEAR(static_cast<double>(plan->data_bytes), static_cast<double>((*opened)->plan().data_bytes),
              0.1 * static_cast<double>(plan->data_bytes));
}

TEST(Plan, CountsTheStepsOfEpochs) {
  const TrainerRig rig;
  recipes::Recipe recipe = rig.recipe("epochs");
  recipe.data[0].documents = 3000;
  recipe.steps = 0;
  recipe.epochs = 1;
  Told told;
  const auto plan = Trainer::plan_run(recipe, rig.path(), best_cpu(), told.events());
  ASSERT_TRUE(plan.ok()) << plan.error().message;
  EXPECT_EQ(told.total, 3000) << "how many rows there are decides how many steps";
  const auto opened = rig.open(recipe, best_cpu());
  ASSERT_TRUE(opened.ok()) << opened.error().message;
  EXPECT_EQ(plan->steps, (*opened)->plan().steps);
}

TEST(Plan, EndsWhenItIsGivenUp) {
  const TrainerRig rig;
  const recipes::Recipe recipe = rig.recipe("given-up");
  for (const int64_t k : {1, 100, 201, 203}) {  // in the documents, and behind them
    int64_t n_asked = 0;
    TrainerEvents events;
    events.should_give_up = [&n_asked, k] { return ++n_asked >= k; };
    const auto plan = Trainer::plan_run(recipe, rig.path(), best_cpu(), events);
    ASSERT_FALSE(plan.ok()) << k;
    EXPECT_EQ(plan.error().code, Code::kCancelled) << k;
  }
}

}  // namespace
}  // namespace naru::train
