// How the CPU chip lays out a cache page: one part for each head, in one of two forms, the same at all levels.
//
// Key form (kKey, kKeyAndValue): the 32 positions are lanes, so that scores of a page are products with its columns.
//   f32   [width][32 positions]
//   bf16  [width / 32, rounded up][16 dwords][32 positions] dwords, columns past the width +0
// Value form (kValue): columns are lanes, padded to a multiple of 16.
//   f32   [32 positions][columns]
//   bf16  [16 dwords][columns] dwords
// A dword of bf16 holds two elements that follow each other in one chain of the bf16 rule (of a block of 32 columns in
// the key form, of positions in the value form): dword i < 8 holds elements 4i in its upper and 4i + 2 in its lower
// half (the even chain), dword 8 + i elements 4i + 1 and 4i + 3 (the odd chain). That is what VDPBF16PS takes, upper
// half first.
#pragma once

#include <cstdint>

#include "contract/cache.h"

// These functions run inside kernels of every level, so no copy of them may outlive its level.
#define NARU_LAYOUT [[gnu::always_inline]] constexpr inline

namespace naru::cpu {

constexpr int64_t kPageDwords = 16;  // of 32 bf16 elements along the chain

NARU_LAYOUT bool is_key_form(const contract::CacheShape& shape) {
  return shape.use != contract::CacheUse::kValue;
}

// Columns of the value form.
NARU_LAYOUT int64_t value_columns(int64_t width) {
  return (width + 15) / 16 * 16;
}

NARU_LAYOUT int64_t cache_head_bytes(const contract::CacheShape& shape) {
  const bool is_f32 = shape.dtype == DType::kF32;
  if (!is_key_form(shape)) return value_columns(shape.width) * contract::kCachePage * (is_f32 ? 4 : 2);
  return (is_f32 ? shape.width * 4 : (shape.width + 31) / 32 * 64) * contract::kCachePage;
}

// Place of element `i` of 32 along a chain: its dword, and its half (0 is the lower one).
struct ChainPlace {
  int64_t dword;
  int64_t half;
};
NARU_LAYOUT ChainPlace chain_place(int64_t i) {
  return {(i % 2) * 8 + i / 4, 1 - (i / 2) % 2};
}

int64_t cache_page_bytes(const contract::CacheShape& shape);
void copy_cache_page(const contract::CacheStream& stream, int32_t from, int32_t to);

}  // namespace naru::cpu
