// Choices that ops and their gradients share: the layout of rotated pairs, and how experts are scored and grouped.
#pragma once

#include <cstdint>

namespace naru::contract {

enum class RopeLayout : uint8_t { kInterleaved, kHalfSplit };  // pairs (2i, 2i+1), or (i, i + n/2)
enum class Scoring : uint8_t { kSoftmax, kSigmoid };
enum class GroupScore : uint8_t { kNone, kMax, kTopTwoSum };

}  // namespace naru::contract
