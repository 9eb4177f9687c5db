// The cache: named row streams, one row a position, kept in pages of kCachePage positions whose inner layout belongs
// to the chip. A page holds the rows of all heads of one stream of one layer.
#pragma once

#include <cstdint>

#include "tensor/chip_address.h"
#include "tensor/dtype.h"

namespace naru::contract {

constexpr int64_t kCachePage = 32;          // positions
constexpr int64_t kSegmentWidthMax = 2048;  // a row of a stream is one chain of a dot

enum class CacheUse : uint8_t {
  kKey,          // rows enter scores
  kValue,        // rows enter weighted sums
  kKeyAndValue,  // both: the row is the key and its first columns the value (latent attention)
};

struct CacheShape {
  int64_t heads = 1;
  int64_t width = 0;          // columns a head
  DType dtype = DType::kF32;  // kF32 or kBF16
  CacheUse use = CacheUse::kKey;
};

// One stream of one layer: page p lies at address + p * page_bytes.
struct CacheStream {
  CacheShape shape;
  ChipAddress address;
  int64_t page_bytes = 0;
};

// The rows of a batch that belong to one sequence: batch rows [row_begin, row_begin + n_rows) are its positions
// [position_begin, position_begin + n_rows), counted from the start of the document. `pages[i]` is the page of
// positions [i * kCachePage, (i + 1) * kCachePage).
struct SequenceRows {
  int64_t row_begin = 0;
  int64_t n_rows = 0;
  int64_t position_begin = 0;
  const int32_t* pages = nullptr;
};

}  // namespace naru::contract
