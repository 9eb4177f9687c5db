#include "eval/statistics.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace naru::eval {
namespace {

constexpr double kNormal95 = 1.959963984540054;  // 97.5 % of a normal distribution lie below

}  // namespace

double pass_at_k(int64_t n, int64_t n_right, int64_t k) {
  NARU_CHECK(1 <= k && k <= n && 0 <= n_right && n_right <= n, n, n_right, k);
  if (n - n_right < k) return 1;
  double all_wrong = 1;
  for (int64_t i = n - n_right + 1; i <= n; ++i) all_wrong *= 1 - static_cast<double>(k) / static_cast<double>(i);
  return 1 - all_wrong;
}

Interval mean_of(std::span<const double> values, int64_t n_each) {
  if (values.empty()) return {.mean = 0, .low = 0, .high = 1};
  const auto n = static_cast<double>(values.size());
  double sum = 0;
  for (const double value : values) sum += value;
  const double p = sum / n;
  double squares = 0;
  for (const double value : values) squares += (value - p) * (value - p);
  double n_effective = n;
  if (squares > 0) n_effective = std::clamp(p * (1 - p) * n / (squares / n), n, n * static_cast<double>(n_each));
  const double z2 = kNormal95 * kNormal95;
  const double middle = (p + z2 / (2 * n_effective)) / (1 + z2 / n_effective);
  const double half =
      kNormal95 / (1 + z2 / n_effective) * std::sqrt(p * (1 - p) / n_effective + z2 / (4 * n_effective * n_effective));
  // Rounding leaves the ends of certainty a hair off.
  return {
      .mean = p, .low = p == 0 ? 0 : std::max(0.0, middle - half), .high = p == 1 ? 1 : std::min(1.0, middle + half)};
}

}  // namespace naru::eval
