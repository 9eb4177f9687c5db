#include "models/rope_frequencies.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "contract/double_math.h"

namespace naru::models {
namespace {

using formats::RopeConfig;
using formats::RopeKind;

constexpr double kPi = 0x1.921fb54442d18p+1;

// Llama 3: long waves are stretched by `factor`, short ones kept, those between mixed.
double llama3_frequency(const RopeConfig& rope, double frequency) {
  const double wavelength = 2 * kPi / frequency;
  const auto original = static_cast<double>(rope.original_positions);
  if (wavelength > original / rope.low_freq_factor) return frequency / rope.factor;
  if (wavelength < original / rope.high_freq_factor) return frequency;
  const double share = (original / wavelength - rope.low_freq_factor) / (rope.high_freq_factor - rope.low_freq_factor);
  return (1 - share) * frequency / rope.factor + share * frequency;
}

struct Range {
  double low;
  double high;
};

// YaRN: the pair indices between which frequencies go over from kept to stretched.
Range yarn_range(const RopeConfig& rope, double dim) {
  const auto original = static_cast<double>(rope.original_positions);
  const auto correction = [&](double rotations) {
    return dim * contract::log_double(original / (rotations * 2 * kPi)) / (2 * contract::log_double(rope.theta));
  };
  Range range{correction(rope.beta_fast), correction(rope.beta_slow)};
  if (rope.truncate) range = {std::floor(range.low), std::ceil(range.high)};
  range = {std::max(range.low, 0.0), std::min(range.high, dim - 1)};
  if (range.low == range.high) range.high += 0.001;
  return range;
}

}  // namespace

std::vector<float> rope_frequencies(const RopeConfig& rope, int64_t dim, const std::vector<float>& divisors) {
  NARU_CHECK(dim > 0 && dim % 2 == 0, dim);
  const int64_t n_pairs = dim / 2;
  const Range range = rope.kind == RopeKind::kYarn ? yarn_range(rope, static_cast<double>(dim)) : Range{0, 1};
  std::vector<float> result;
  for (int64_t i = 0; i < n_pairs; ++i) {
    const double exponent = static_cast<double>(2 * i) / static_cast<double>(dim);
    double frequency = 1.0 / contract::pow_double(rope.theta, exponent);
    switch (rope.kind) {
      case RopeKind::kNone: break;
      case RopeKind::kLinear: frequency /= rope.factor; break;
      case RopeKind::kLlama3: frequency = llama3_frequency(rope, frequency); break;
      case RopeKind::kYarn: {
        const double ramp = std::clamp((static_cast<double>(i) - range.low) / (range.high - range.low), 0.0, 1.0);
        frequency = frequency * (1 - ramp) + frequency / rope.factor * ramp;
        break;
      }
      case RopeKind::kDivisors:
        NARU_CHECK(static_cast<int64_t>(divisors.size()) == n_pairs, divisors.size(), n_pairs);
        frequency /= static_cast<double>(divisors[static_cast<size_t>(i)]);
        break;
    }
    result.push_back(static_cast<float>(frequency));
  }
  return result;
}

}  // namespace naru::models
