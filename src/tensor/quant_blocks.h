// The integers and scales inside one block of a GGUF kind (Q8_0 ... Q6_K), in one shape for all kinds.
// Layouts: the GGUF format as written by llama.cpp; see docs/formats.md. Real value of element e of a block:
//   Q8_0 Q4_0 Q5_0   d * q[e]                          (q holds the offset: Q4_0 -8..7, Q5_0 -16..15)
//   Q4_1 Q5_1        d * q[e] + m
//   Q4_K Q5_K        d * sc[e / 32] * q[e] - m * mn[e / 32]      (m is dmin)
//   Q6_K             d * sc[e / 16] * q[e]             (q -32..31, sc signed)
#pragma once

#include <cstddef>
#include <cstdint>

#include "tensor/dtype.h"

namespace naru {

struct QuantBlock {
  float d = 0;
  float m = 0;         // minimum (Q4_1, Q5_1) or dmin (Q4_K, Q5_K)
  int8_t sc[16] = {};  // K kinds: 8 (Q4_K, Q5_K) or 16 (Q6_K) scales
  uint8_t mn[8] = {};  // Q4_K, Q5_K: 8 minimum factors
  int8_t q[256] = {};  // 32 or 256 integers, offset included
};

// Reads the block of `dtype` at `bytes` (dtype_info(dtype).block_bytes of them).
void read_quant_block(DType dtype, const std::byte* bytes, QuantBlock& block);

// Element e of a block as f32: the products are exact in double, their sum is rounded to double, then to f32.
float quant_block_value(DType dtype, const QuantBlock& block, int64_t e);

}  // namespace naru
