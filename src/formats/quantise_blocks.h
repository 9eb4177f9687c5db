// Rows of f32 to the blocks of a GGUF kind, by search: of what a block can say, nearly the least squared error, where
// large values count a little more than small ones.
//
// The bytes are a function of the values alone. A block knows nothing of its neighbours, so neither threads nor the
// pieces that a tensor comes in change any. Arithmetic is f32 and f64 additions, products, quotients and square roots
// in the order written, each rounded to nearest even, compiled without contraction; nothing of the C library's is used.
// A block's values are first multiplied by the power of two that takes the largest magnitude into [1, 2), and what is
// then below 2^-20 counts as zero: nothing on the way is subnormal, so the processor's modes for those change no bit
// either.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tensor/dtype.h"

namespace naru::formats {

// Elements [0, n) of a row, n a multiple of the block of `dtype`, a block kind. Values that are not finite count as
// zero; scales beyond f16 become its largest.
void quantise_blocks(DType dtype, const float* row, int64_t n, std::byte* out);

// The largest magnitude that blocks of this kind hold, whatever its neighbours.
float largest_in_blocks(DType dtype);

}  // namespace naru::formats
