// Rotation frequencies of a model: one f32 a pair. The steps are the official implementation's, each rounded to f32:
// the exponent 2i/dim, base^exponent, its inverse, then the scaling rule of the config. Models were trained with
// these values; computing them in double and rounding once moves the angle at position 512 by up to 1e-4 (the f32
// exponent is off by up to 3e-8, times ln(base)), and logits by more than everything else together.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "formats/model_config.h"

namespace naru::models {

// `dim` rotated channels, dim / 2 frequencies. Rule kDivisors needs `divisors` (dim / 2 of them).
std::vector<float> rope_frequencies(const formats::RopeConfig& rope, int64_t dim, const std::vector<float>& divisors);

// GGUF keeps what the llama3 rule divides each frequency by and not the rule's numbers. The rule that gives these
// divisors to 2e-6, with low 1 and high 4 as in all released models, on a context of some power of two; nothing where
// there is none.
std::optional<formats::RopeConfig> llama3_rule_of(const formats::RopeConfig& rope);
// The other way round.
std::vector<float> llama3_divisors(const formats::RopeConfig& rope, int64_t dim);

}  // namespace naru::models
