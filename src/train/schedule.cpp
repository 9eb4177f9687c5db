#include "train/schedule.h"

#include <algorithm>

#include "base/double_math.h"

namespace naru::train {
namespace {

constexpr double kPi = 0x1.921fb54442d18p+1;

// How far step is on its way from `begin` to the last step of `end`.
double part(int64_t step, int64_t begin, int64_t end) {
  const auto n = static_cast<double>(std::max<int64_t>(1, end - 1 - begin));
  return std::clamp(static_cast<double>(step - begin) / n, 0.0, 1.0);
}

}  // namespace

double learning_rate_factor(const recipes::ScheduleRecipe& schedule, int64_t step, int64_t steps) {
  const int64_t warmup = schedule.warmup_steps;
  if (step < warmup) return static_cast<double>(step + 1) / static_cast<double>(warmup);
  const double end = schedule.final_factor;
  if (schedule.kind == "linear") return 1 - part(step, warmup, steps) * (1 - end);
  if (schedule.kind == "cosine") {
    return end + (1 - end) * 0.5 * (1 + cos_double(kPi * part(step, warmup, steps)));
  }
  if (schedule.kind == "wsd") {
    const int64_t begin = std::max(warmup, steps - schedule.decay_steps);
    return step < begin ? 1.0
                        : 1 - static_cast<double>(step - begin + 1) / static_cast<double>(steps - begin) * (1 - end);
  }
  return 1;
}

}  // namespace naru::train
