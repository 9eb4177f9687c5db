// The bytes of one block of a GGUF kind: the inverse of read_quant_block (tensor/quant_blocks.h, which says what the
// fields mean).
#pragma once

#include <cstddef>

#include "tensor/quant_blocks.h"

namespace naru::formats {

// `block` holds what the kind can: d and m are f16 values, q, sc and mn lie in the ranges of its bits.
void write_quant_block(DType dtype, const QuantBlock& block, std::byte* out);

}  // namespace naru::formats
