// The random numbers of one problem: numbered draws of (seed, generator, index).
#pragma once

#include <cstdint>
#include <span>

#include "base/philox.h"

namespace naru::data {

class Draws {
 public:
  // index below 2^40: what is behind it in the counter numbers the draws.
  Draws(uint64_t seed, uint32_t stream, int64_t index)
      : seed_(seed), stream_(stream), position_(static_cast<uint64_t>(index) << 24) {}

  // In [low, high].
  int64_t between(int64_t low, int64_t high) {
    const PhiloxBlock block = draw(seed_, DrawPurpose::kProblem, stream_, position_++);
    const uint64_t range = static_cast<uint64_t>(high - low) + 1;  // far below 2^32: the bias is below 2^-32
    return low + static_cast<int64_t>(static_cast<uint64_t>(block[0]) * range >> 32);
  }
  template <typename T>
  const T& one_of(std::span<const T> items) {
    return items[static_cast<size_t>(between(0, static_cast<int64_t>(items.size()) - 1))];
  }

 private:
  uint64_t seed_;
  uint32_t stream_;
  uint64_t position_;
};

}  // namespace naru::data
