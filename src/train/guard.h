// Guard: watches the norm of the gradient. A norm that is not finite stops the run before the update. One that leaves
// its running mean by more than clip_z deviations, and that the recipe's clip_norm would clip anyway, is clipped to the
// mean; by more than skip_z, the step is skipped; three skipped in a row ask for the last good checkpoint, from which
// their batches are left out.
#pragma once

#include <cstdint>

#include "recipes/recipe.h"

namespace naru::train {

struct GuardState {  // in checkpoints
  int64_t n_seen = 0;
  double mean = 0;
  double variance = 0;
  int64_t n_skipped_in_row = 0;
};

enum class StepVerdict : uint8_t { kUpdate, kSkip, kRollBack };

struct GuardDecision {
  StepVerdict verdict = StepVerdict::kUpdate;
  double scale = 1;  // of the gradient: clipping by the recipe's norm and by the running mean
  double z = 0;
};

// `norm` is finite. Moves the state.
GuardDecision judge_norm(const recipes::GuardRecipe& guard, double clip_norm, double norm, GuardState& state);

}  // namespace naru::train
