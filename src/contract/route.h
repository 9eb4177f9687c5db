// Choices that ops and their gradients share: the layout of rotated pairs, and how experts are scored and grouped.
#pragma once

#include <cstdint>

#include "base/result.h"

namespace naru::contract {

enum class RopeLayout : uint8_t { kInterleaved, kHalfSplit };  // pairs (2i, 2i+1), or (i, i + n/2)
enum class Scoring : uint8_t { kSoftmax, kSigmoid };
enum class GroupScore : uint8_t { kNone, kMax, kTopTwoSum };

// The error of row `row` of n_rows whose experts were given (Route::is_given): entry `index` is `found`, which does not
// follow `before` (the entry before it, -1 where there is none) among n_experts. kOutOfRange.
Error given_experts_error(int64_t n_rows, int64_t row, int64_t index, int64_t found, int64_t before, int64_t n_experts);

}  // namespace naru::contract
