// What attention reads of the cache: the pages of a sequence, and their value form where it has to be made in thread
// memory (a page with positions that were never written, a page in key form that serves as value).
#pragma once

#include "chips/cpu/cache_layout.h"
#include "chips/cpu/kernels/row_loops.h"
#include "chips/cpu/kernels/transpose.h"

namespace naru::cpu::NARU_LEVEL {

using contract::kCachePage;

NARU_INLINE const std::byte* page_of(const contract::CacheStream& stream, const contract::SequenceRows& rows,
                                     int64_t page, int64_t key_head) {
  return pointer_of(stream.address) + rows.pages[page] * stream.page_bytes + key_head * cache_head_bytes(stream.shape);
}

// Value form (bf16) of a page in value form of which only the first `n` positions count: the others of the dwords that
// these are in become +0.
inline void mask_value_page(const uint32_t* page, int64_t columns, int64_t n, uint32_t* out) {
  for (int64_t j = 0; j < kPageDwords; ++j) {
    const int64_t upper = j % 8 * 4 + j / 8;
    if (j % 8 * 4 >= n) continue;
    const uint32_t mask = (upper < n ? 0xffff0000u : 0u) | (upper + 2 < n ? 0x0000ffffu : 0u);
    for (int64_t c = 0; c < columns; c += 16)
      store(out + j * columns + c, bit_and(load_i32(page + j * columns + c), splat_i32(static_cast<int32_t>(mask))));
  }
}

// Value form (f32) of the first `columns` columns, a multiple of 16, of a page in key form.
inline void transpose_page_f32(const float* page, int64_t width, int64_t columns, float* out) {
  for (int64_t c = 0; c < columns; c += 16) {
    float rest[16 * kCachePage];
    const float* from = page + c * kCachePage;
    if (c + 16 > width) {  // the last rows of the block belong to the next head or page
      const int64_t n = (width - c) * kCachePage;
      for (int64_t i = 0; i < 16 * kCachePage; ++i) rest[i] = i < n ? from[i] : 0.0f;
      from = rest;
    }
    for (int64_t p = 0; p < kCachePage; p += 16) transpose_block(from + p, kCachePage, out + p * columns + c, columns);
  }
}

// Value form (bf16) of the first `columns` columns, a multiple of 32, of a page in key form; positions from `n` on
// become +0.
inline void transpose_page_bf16(const uint32_t* page, int64_t columns, int64_t n, uint32_t* out) {
  // rows[p] holds the 16 dwords of position p: 32 columns, in the order of the chains.
  alignas(64) float rows[kCachePage * 16];
  const I32x16 upper_half = splat_i32(static_cast<int32_t>(0xffff0000u));
  for (int64_t c = 0; c < columns; c += 32) {
    const auto* from = reinterpret_cast<const float*>(page + c / 32 * kPageDwords * kCachePage);
    for (int64_t p = 0; p < kCachePage; p += 16) transpose_block(from + p, kCachePage, rows + p * 16, 16);
    for (int64_t p = n; p < kCachePage; ++p) store(rows + p * 16, zero());
    for (int64_t j = 0; j < kPageDwords; ++j) {
      const int64_t position = j % 8 * 4 + j / 8;
      const I32x16 first = load_i32(rows + position * 16), second = load_i32(rows + (position + 2) * 16);
      // Columns 4i and 4i + 1 are in the upper halves, 4i + 2 and 4i + 3 in the lower ones.
      const I32x16 upper = bit_or(bit_and(first, upper_half), shift_right_logical<16>(second));
      const I32x16 lower = bit_or(shift_left<16>(first), bit_and(second, splat_i32(0xffff)));
      F32x16 even, odd, low, high;
      interleave(as_f32(upper), as_f32(lower), even, odd);
      interleave(even, odd, low, high);
      store(out + j * columns + c, as_i32(low));
      store(out + j * columns + c + 16, as_i32(high));
    }
  }
}

}  // namespace naru::cpu::NARU_LEVEL
