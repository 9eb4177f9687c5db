// Runs of reinforcement learning on a tiny model.
#pragma once

#include "tests/train/trainer_rig.h"

namespace naru::train {

// Of a line of metrics.jsonl: what no two runs have alike.
inline constexpr const char* kMeasuredMetrics[] = {
    "time", "tokens_per_s", "rollout_seconds", "rollout_tokens_per_s", "update_seconds", "update_tokens_per_s"};

// A model drawn and trained a little, to go on from, and a recipe on it: three rollouts of four problems, two updates
// each.
class GrpoRig : public TrainerRig {
 public:
  explicit GrpoRig(const std::string& config = "v3.json") {
    recipes::Recipe base = recipe("base", config);
    base.steps = 200;  // until it knows where answers end
    base.checkpoint.every = 200;
    EXPECT_EQ(finished(base, best_cpu()).size(), 64u);
  }
  recipes::Recipe grpo(const std::string& name) const {
    recipes::Recipe r = recipe(name);
    r.kind = recipes::RunKind::kGrpo;
    r.model = {};
    r.model.path = (run_folder("base") / "model").string();
    r.batch.rows = recipes::BatchRecipe{}.rows;  // not read
    r.batch.micro_rows = 1;
    r.grpo.prompts = 4;
    r.grpo.answers = 4;
    r.grpo.updates = 2;
    r.grpo.max_tokens = 24;
    r.grpo.soft_tokens = 23;  // so that answers of a model that knows nothing differ in reward
    r.grpo.clip_low = 0.05;
    r.schedule.warmup_steps = 0;
    return r;
  }
};

}  // namespace naru::train
