#include "tensor/quant_blocks.h"

#include <cstring>

#include "base/check.h"
#include "base/float_bits.h"

namespace naru {
namespace {

uint8_t byte_at(const std::byte* bytes, int64_t i) {
  return static_cast<uint8_t>(bytes[i]);
}

float f16_at(const std::byte* bytes, int64_t i) {
  uint16_t bits;
  std::memcpy(&bits, bytes + i, sizeof(bits));
  return f16_to_f32(bits);
}

// Sixteen bytes of two nibbles: low nibbles are elements 0..15, high ones 16..31.
void read_nibbles_32(const std::byte* bytes, int8_t* q) {
  for (int j = 0; j < 16; ++j) {
    q[j] = static_cast<int8_t>(byte_at(bytes, j) & 15);
    q[j + 16] = static_cast<int8_t>(byte_at(bytes, j) >> 4);
  }
}

// Thirty-two bits, one for each element: bit e is bit 4 of element e.
void add_fifth_bits(const std::byte* bytes, int8_t* q) {
  uint32_t high;
  std::memcpy(&high, bytes, sizeof(high));
  for (int e = 0; e < 32; ++e) q[e] = static_cast<int8_t>(q[e] | static_cast<int8_t>(((high >> e) & 1u) << 4));
}

// Twelve bytes hold eight 6-bit scales and eight 6-bit minimums.
void read_scales_6bit(const std::byte* bytes, QuantBlock& block) {
  for (int b = 0; b < 4; ++b) {
    block.sc[b] = static_cast<int8_t>(byte_at(bytes, b) & 63);
    block.mn[b] = byte_at(bytes, b + 4) & 63;
  }
  for (int b = 4; b < 8; ++b) {
    block.sc[b] = static_cast<int8_t>((byte_at(bytes, b + 4) & 15) | ((byte_at(bytes, b - 4) >> 6) << 4));
    block.mn[b] = static_cast<uint8_t>((byte_at(bytes, b + 4) >> 4) | ((byte_at(bytes, b) >> 6) << 4));
  }
}

// Pair p of sub-blocks shares 32 bytes: low nibbles are sub-block 2p, high ones 2p + 1.
void read_nibbles_256(const std::byte* bytes, int8_t* q) {
  for (int p = 0; p < 4; ++p) {
    for (int l = 0; l < 32; ++l) {
      const uint8_t both = byte_at(bytes, 32 * p + l);
      q[64 * p + l] = static_cast<int8_t>(both & 15);
      q[64 * p + 32 + l] = static_cast<int8_t>(both >> 4);
    }
  }
}

void read_q6_k(const std::byte* bytes, QuantBlock& block) {
  const std::byte* low = bytes;
  const std::byte* high = bytes + 128;
  for (int h = 0; h < 2; ++h) {
    for (int k = 0; k < 4; ++k) {
      for (int l = 0; l < 32; ++l) {
        const uint8_t nibbles = byte_at(low, 64 * h + 32 * (k % 2) + l);
        const int low4 = k >= 2 ? nibbles >> 4 : nibbles & 15;
        const int high2 = (byte_at(high, 32 * h + l) >> (2 * k)) & 3;
        block.q[128 * h + 32 * k + l] = static_cast<int8_t>((low4 | (high2 << 4)) - 32);
      }
    }
  }
  std::memcpy(block.sc, bytes + 192, 16);
  block.d = f16_at(bytes, 208);
}

}  // namespace

void read_quant_block(DType dtype, const std::byte* bytes, QuantBlock& block) {
  switch (dtype) {
    case DType::kQ8_0:
      block.d = f16_at(bytes, 0);
      std::memcpy(block.q, bytes + 2, 32);
      return;
    case DType::kQ4_0:
      block.d = f16_at(bytes, 0);
      read_nibbles_32(bytes + 2, block.q);
      for (int e = 0; e < 32; ++e) block.q[e] = static_cast<int8_t>(block.q[e] - 8);
      return;
    case DType::kQ4_1:
      block.d = f16_at(bytes, 0);
      block.m = f16_at(bytes, 2);
      read_nibbles_32(bytes + 4, block.q);
      return;
    case DType::kQ5_0:
      block.d = f16_at(bytes, 0);
      read_nibbles_32(bytes + 6, block.q);
      add_fifth_bits(bytes + 2, block.q);
      for (int e = 0; e < 32; ++e) block.q[e] = static_cast<int8_t>(block.q[e] - 16);
      return;
    case DType::kQ5_1:
      block.d = f16_at(bytes, 0);
      block.m = f16_at(bytes, 2);
      read_nibbles_32(bytes + 8, block.q);
      add_fifth_bits(bytes + 4, block.q);
      return;
    case DType::kQ4_K:
      block.d = f16_at(bytes, 0);
      block.m = f16_at(bytes, 2);
      read_scales_6bit(bytes + 4, block);
      read_nibbles_256(bytes + 16, block.q);
      return;
    case DType::kQ5_K:
      block.d = f16_at(bytes, 0);
      block.m = f16_at(bytes, 2);
      read_scales_6bit(bytes + 4, block);
      read_nibbles_256(bytes + 48, block.q);
      for (int e = 0; e < 256; ++e) {
        const int bit = (byte_at(bytes + 16, e % 32) >> (e / 32)) & 1;
        block.q[e] = static_cast<int8_t>(block.q[e] | (bit << 4));
      }
      return;
    case DType::kQ6_K: read_q6_k(bytes, block); return;
    default: NARU_CHECK(false, dtype_name(dtype), "is no quantised kind");
  }
}

float quant_block_value(DType dtype, const QuantBlock& block, int64_t e) {
  const double d = block.d;
  const double q = block.q[e];
  switch (dtype) {
    case DType::kQ4_1:
    case DType::kQ5_1: return static_cast<float>(d * q + static_cast<double>(block.m));
    case DType::kQ4_K:
    case DType::kQ5_K:
      return static_cast<float>(d * block.sc[e / 32] * q - static_cast<double>(block.m) * block.mn[e / 32]);
    case DType::kQ6_K: return static_cast<float>(d * block.sc[e / 16] * q);
    default: return static_cast<float>(d * q);
  }
}

}  // namespace naru
