// Rotation frequencies of a model: one f32 a pair, computed in double (docs/arithmetic.md section 4) under the
// scaling rule of its config.
#pragma once

#include <cstdint>
#include <vector>

#include "formats/model_config.h"

namespace naru::models {

// `dim` rotated channels, dim / 2 frequencies. Rule kDivisors needs `divisors` (dim / 2 of them).
std::vector<float> rope_frequencies(const formats::RopeConfig& rope, int64_t dim, const std::vector<float>& divisors);

}  // namespace naru::models
