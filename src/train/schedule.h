// The learning rate over the steps, as a factor of the recipe's.
#pragma once

#include <cstdint>

#include "recipes/recipe.h"

namespace naru::train {

// Factor of step `step` (from 0) of `steps`. Warm-up: (step + 1) / warmup_steps.
// Then, with x from 0 to 1 over the rest:
//   constant 1; linear 1 - x (1 - final); cosine final + (1 - final) (1 + cos(pi x)) / 2;
//   wsd: 1 until the last decay_steps, then linear to final.
double learning_rate_factor(const recipes::ScheduleRecipe& schedule, int64_t step, int64_t steps);

}  // namespace naru::train
