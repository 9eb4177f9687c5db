// Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011): a counter-based generator.
// Nothing here is a stream: a draw is a function of (seed, purpose, request, sample, position), so batching,
// speculation and restarts cannot change it.
#pragma once

#include <array>
#include <cstdint>

namespace naru {

using PhiloxBlock = std::array<uint32_t, 4>;

inline PhiloxBlock philox4x32_10(PhiloxBlock counter, std::array<uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t product_0 = static_cast<uint64_t>(0xD2511F53u) * counter[0];
    const uint64_t product_1 = static_cast<uint64_t>(0xCD9E8D57u) * counter[2];
    counter = {static_cast<uint32_t>(product_1 >> 32) ^ counter[1] ^ key[0], static_cast<uint32_t>(product_1),
               static_cast<uint32_t>(product_0 >> 32) ^ counter[3] ^ key[1], static_cast<uint32_t>(product_0)};
    key[0] += 0x9E3779B9u;
    key[1] += 0xBB67AE85u;
  }
  return counter;
}

// What a draw is for; part of the counter, so two purposes never share a block.
enum class DrawPurpose : uint32_t { kSample = 0, kInit = 1, kShuffle = 2, kTest = 3, kProblem = 4 };

// The block of (seed; purpose, sample, position).
inline PhiloxBlock draw(uint64_t seed, DrawPurpose purpose, uint32_t sample, uint64_t position) {
  return philox4x32_10(
      {static_cast<uint32_t>(position), static_cast<uint32_t>(position >> 32), sample, static_cast<uint32_t>(purpose)},
      {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)});
}

// Uniform in [0, 1) with 53 bits, from the first two words of a block.
inline double uniform_53(const PhiloxBlock& block) {
  const uint64_t bits = (static_cast<uint64_t>(block[0]) << 32 | block[1]) >> 11;
  return static_cast<double>(bits) * 0x1p-53;
}

}  // namespace naru
