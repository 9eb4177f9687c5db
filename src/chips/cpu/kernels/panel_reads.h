// How the products' kernels read panels: the vectors of a panel, what is asked of the caches ahead of the loop, and
// which activations the multiplications read by themselves.
#pragma once

#include <cstddef>
#include <cstdint>

#include "chips/cpu/kernels/simd.h"
#include "chips/cpu/packed.h"

namespace naru::cpu::NARU_LEVEL {

constexpr int kPanelVectors = static_cast<int>(kPanel) / kLanes;

// Asks the second-level cache for the line at p, which may lie past the end of the weights.
NARU_INLINE void fetch_line(const std::byte* p) {
  __builtin_prefetch(p, 0, 2);
}

// Fewer rows read panels as fast as they come.
constexpr int kAheadRowsMin = 6;

// One line of each of P panels at `ahead`, where R rows are enough to fetch for.
template <int R, int P>
NARU_INLINE void fetch_ahead(const std::byte* ahead, int64_t panel_bytes) {
  if constexpr (R >= kAheadRowsMin) {
#pragma GCC unroll 8
    for (int p = 0; p < P; ++p) fetch_line(ahead + p * panel_bytes);
  }
}

// Whether a row's activations are read by the multiplications themselves: every second row of a tall block. Issuing
// instructions is what bounds a kernel when two threads share a core, and a core that loads one vector a cycle keeps
// up.
template <int R, int NV>
NARU_INLINE constexpr bool is_read_in_place(int row) {
  return R >= 4 && NV <= 2 && row % 2 == 1;
}

// Asks for `lines` cache lines from p on; p may lie past the end of the weights.
template <int kCount>
NARU_INLINE void prefetch_lines(const std::byte* p) {
#pragma GCC unroll 16
  for (int i = 0; i < kCount; ++i) __builtin_prefetch(p + 64 * i);
}

}  // namespace naru::cpu::NARU_LEVEL
