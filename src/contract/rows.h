// The orders of section 3 and 4 of docs/arithmetic.md: the aligned binary tree over segments, the sum of a row by 16
// lanes, its max, and the ranking rule. Plain loops over the scalar operations of scalar.h.
#pragma once

#include <array>
#include <cstdint>

#include "contract/scalar.h"

namespace naru::contract {

constexpr int64_t kSegment = 2048;          // of K in a dot product, of a row in a row sum
constexpr int64_t kAttentionSegment = 512;  // of positions
constexpr int64_t kBlock = 32;              // of the bf16 rule, the GGUF kinds, a cache page
constexpr int64_t kLanes = 16;              // of a row sum
constexpr float kScoreFloor = -38.0f;       // below this, p counts as +0

// Adds segment results by the aligned tree (0+1, 2+3, ...; an odd last one moves up): push in order, then total().
class SegmentSum {
 public:
  void push(float value) {
    int level = 0;
    for (uint32_t n = count_; (n & 1u) != 0; n >>= 1) value = add(partial_[static_cast<size_t>(level++)], value);
    partial_[static_cast<size_t>(level)] = value;
    ++count_;
  }
  // The sum, after the final + (+0); +0 when nothing was pushed.
  float total() const {
    float sum = 0.0f;
    bool is_first = true;
    for (uint32_t level = 0; level < 32; ++level) {
      if ((count_ >> level & 1u) == 0) continue;
      sum = is_first ? partial_[level] : add(partial_[level], sum);
      is_first = false;
    }
    return add(sum, 0.0f);
  }

 private:
  std::array<float, 32> partial_{};
  uint32_t count_ = 0;
};

// The 16 lanes of one segment, added i+8, i+4, i+2, i+1.
inline float sum_lanes(std::array<float, 16> lanes) {
  for (size_t half = 8; half > 0; half /= 2) {
    for (size_t i = 0; i < half; ++i) lanes[i] = add(lanes[i], lanes[i + half]);
  }
  return lanes[0];
}

// Sum over i in [0, n) by the row rule; `accumulate(i, lane)` returns the lane after element i.
template <typename Accumulate>
float row_reduce(int64_t n, const Accumulate& accumulate) {
  SegmentSum sum;
  for (int64_t begin = 0; begin < n; begin += kSegment) {
    std::array<float, 16> lanes{};
    for (int64_t i = begin; i < n && i < begin + kSegment; ++i) {
      float& lane = lanes[static_cast<size_t>(i % kLanes)];
      lane = accumulate(i, lane);
    }
    sum.push(sum_lanes(lanes));
  }
  return sum.total();
}

inline float row_sum(const float* x, int64_t n) {
  return row_reduce(n, [x](int64_t i, float lane) { return add(lane, x[i]); });
}
inline float row_sum_of_squares(const float* x, int64_t n) {
  return row_reduce(n, [x](int64_t i, float lane) { return fma(x[i], x[i], lane); });
}

// The largest of n >= 1 elements; NaN when there is one; never -0.
inline float row_max(const float* x, int64_t n) {
  float m = x[0];
  for (int64_t i = 1; i < n; ++i) m = max(m, x[i]);
  return add(m, 0.0f);
}

// Ranking: key descending, -0 equals +0, NaN last, then index ascending. True when (a, i) comes before (b, j).
inline bool ranks_before(float a, int64_t i, float b, int64_t j) {
  const bool a_nan = std::isnan(a), b_nan = std::isnan(b);
  if (a_nan != b_nan) return b_nan;
  if (!a_nan && a != b) return a > b;
  return i < j;
}

}  // namespace naru::contract
