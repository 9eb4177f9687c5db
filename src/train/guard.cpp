#include "train/guard.h"

#include <algorithm>
#include <cmath>

namespace naru::train {
namespace {

constexpr double kKeep = 0.98;         // of the running mean and variance, a step
constexpr int64_t kStepsToLearn = 50;  // before the guard judges
constexpr int64_t kSkipsInRowMax = 3;
constexpr double kDeviationMin = 0.05;  // of the mean

}  // namespace

GuardDecision judge_norm(const recipes::GuardRecipe& guard, double clip_norm, double norm, GuardState& state) {
  GuardDecision decision;
  double allowed = clip_norm > 0 ? clip_norm : norm;
  const double deviation = std::max(std::sqrt(state.variance), kDeviationMin * state.mean);
  // What the recipe itself lets pass is no spike, however quiet the run has become.
  const bool is_judged = state.n_seen >= kStepsToLearn && deviation > 0 && norm > clip_norm;
  if (is_judged) {
    decision.z = (norm - state.mean) / deviation;
    if (guard.skip_z > 0 && decision.z > guard.skip_z) {
      ++state.n_skipped_in_row;
      decision.verdict = state.n_skipped_in_row >= kSkipsInRowMax ? StepVerdict::kRollBack : StepVerdict::kSkip;
      decision.scale = state.mean / norm;
      if (decision.verdict == StepVerdict::kRollBack) state.n_skipped_in_row = 0;
      return decision;
    }
    if (guard.clip_z > 0 && decision.z > guard.clip_z) allowed = std::min(allowed, state.mean);
  }
  state.n_skipped_in_row = 0;
  if (norm > allowed) decision.scale = allowed / norm;
  if (state.n_seen == 0) {
    state.mean = norm;
  } else {
    const double difference = norm - state.mean;
    state.mean += (1 - kKeep) * difference;
    state.variance = kKeep * (state.variance + (1 - kKeep) * difference * difference);
  }
  ++state.n_seen;
  return decision;
}

}  // namespace naru::train
