#include "models/rope_frequencies.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/double_math.h"

namespace naru::models {
namespace {

using formats::RopeConfig;
using formats::RopeKind;

constexpr double kPi = 0x1.921fb54442d18p+1;

// Llama 3: long waves are stretched by `factor`, short ones kept, those between mixed.
float llama3_frequency(const RopeConfig& rope, float frequency) {
  const auto original = static_cast<float>(rope.original_positions);
  const auto factor = static_cast<float>(rope.factor);
  const auto low = static_cast<float>(rope.low_freq_factor), high = static_cast<float>(rope.high_freq_factor);
  const float wavelength = static_cast<float>(2 * kPi) / frequency;
  if (wavelength > original / low) return frequency / factor;
  if (wavelength < original / high) return frequency;
  const float share = (original / wavelength - low) / (high - low);
  return (1 - share) * frequency / factor + share * frequency;
}

struct Range {
  double low;
  double high;
};

// YaRN: the pair indices between which frequencies go over from kept to stretched.
Range yarn_range(const RopeConfig& rope, double dim) {
  const auto original = static_cast<double>(rope.original_positions);
  const auto correction = [&](double rotations) {
    return dim * log_double(original / (rotations * 2 * kPi)) / (2 * log_double(rope.theta));
  };
  Range range{correction(rope.beta_fast), correction(rope.beta_slow)};
  if (rope.truncate) range = {std::floor(range.low), std::ceil(range.high)};
  range = {std::max(range.low, 0.0), std::min(range.high, dim - 1)};
  if (range.low == range.high) range.high += 0.001;
  return range;
}

// YaRN: `power` is base^(2i/dim), the inverse of the frequency that is not stretched.
float yarn_frequency(const RopeConfig& rope, const Range& range, float i, float power) {
  const auto low = static_cast<float>(range.low);
  const float ramp = std::clamp((i - low) / static_cast<float>(range.high - range.low), 0.0f, 1.0f);
  const float kept = 1 - ramp;
  return 1.0f / (static_cast<float>(rope.factor) * power) * (1 - kept) + 1.0f / power * kept;
}

}  // namespace

std::vector<float> rope_frequencies(const RopeConfig& rope, int64_t dim, const std::vector<float>& divisors) {
  NARU_CHECK(dim > 0 && dim % 2 == 0, dim);
  const int64_t n_pairs = dim / 2;
  const Range range = rope.kind == RopeKind::kYarn ? yarn_range(rope, static_cast<double>(dim)) : Range{0, 1};
  std::vector<float> result;
  for (int64_t i = 0; i < n_pairs; ++i) {
    const float exponent = static_cast<float>(2 * i) / static_cast<float>(dim);
    const auto power = static_cast<float>(pow_double(static_cast<float>(rope.theta), exponent));
    float frequency = 1.0f / power;
    switch (rope.kind) {
      case RopeKind::kNone: break;
      case RopeKind::kLinear: frequency /= static_cast<float>(rope.factor); break;
      case RopeKind::kLlama3: frequency = llama3_frequency(rope, frequency); break;
      case RopeKind::kYarn: frequency = yarn_frequency(rope, range, static_cast<float>(i), power); break;
      case RopeKind::kDivisors:
        NARU_CHECK(static_cast<int64_t>(divisors.size()) == n_pairs, divisors.size(), n_pairs);
        frequency /= divisors[static_cast<size_t>(i)];
        break;
    }
    result.push_back(frequency);
  }
  return result;
}

std::vector<float> llama3_divisors(const RopeConfig& rope, int64_t dim) {
  RopeConfig kept = rope;
  kept.kind = RopeKind::kNone;
  std::vector<float> divisors = rope_frequencies(kept, dim, {});
  const std::vector<float> stretched = rope_frequencies(rope, dim, {});
  for (size_t i = 0; i < divisors.size(); ++i) divisors[i] /= stretched[i];
  return divisors;
}

std::optional<RopeConfig> llama3_rule_of(const RopeConfig& rope) {
  if (rope.kind != RopeKind::kDivisors || rope.divisors.empty()) return std::nullopt;
  RopeConfig rule = rope;
  rule.kind = RopeKind::kLlama3;
  rule.divisors.clear();
  rule.factor = *std::max_element(rope.divisors.begin(), rope.divisors.end());
  rule.low_freq_factor = 1;
  rule.high_freq_factor = 4;
  if (!(rule.factor > 1)) return std::nullopt;
  for (const int shift : {13, 12, 11, 10, 9, 8, 7, 6, 5, 14, 15, 16, 17}) {
    rule.original_positions = int64_t{1} << shift;
    const auto found = llama3_divisors(rule, 2 * static_cast<int64_t>(rope.divisors.size()));
    const bool is_equal = std::equal(found.begin(), found.end(), rope.divisors.begin(),
                                     [](float a, float b) { return std::fabs(a - b) <= 2e-6f * b; });
    if (is_equal) return rule;
  }
  return std::nullopt;
}

}  // namespace naru::models
