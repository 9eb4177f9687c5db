// Rows of stored elements to f32 and back: every DType, the GGUF block kinds included.
//
// To f32: the value that the stored bits mean, computed exactly and rounded once to f32 (tensor/quant_blocks.h has
// the meaning of each block kind). FP8 comes without its scale here; dequantise_fp8_row applies it. To stored: the
// float kinds round each element; quantise_blocks.h says how the block kinds choose their scales.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tensor/dtype.h"

namespace naru::formats {

// Elements [0, n) of a row, n a multiple of the block of `dtype`.
void dequantise_row(DType dtype, const std::byte* row, int64_t n, float* out);

// One row of an FP8 matrix with its row of block scales: element i times scales[i / block_cols], rounded once; below
// the smallest normal f32 it is zero of its sign.
void dequantise_fp8_row(const std::byte* row, int64_t n, const float* scales, int64_t block_cols, float* out);

// The inverse: kF32, kF16, kBF16, kF8E4M3 and the block kinds; n as above. Non-finite values are stored as they are by
// the float kinds and count as zero in the block kinds.
void quantise_row(DType dtype, const float* row, int64_t n, std::byte* out);

// Nearest even; subnormals kept; overflow becomes infinity; NaN becomes 0x7e00.
uint16_t f32_to_f16(float value);
// Nearest even; subnormals kept; magnitudes that round above 448 become 448; NaN becomes 0x7f.
uint8_t f32_to_f8_e4m3(float value);

}  // namespace naru::formats
