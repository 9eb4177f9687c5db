#include "formats/quant_block_writer.h"

#include <cstring>

#include "base/check.h"
#include "formats/ggml_blocks.h"

namespace naru::formats {
namespace {

void write_f16(std::byte* out, float value) {
  const uint16_t bits = f32_to_f16(value);
  std::memcpy(out, &bits, sizeof(bits));
}

// Elements 0..15 in the low nibbles, 16..31 in the high ones; `offset` makes the integers unsigned.
void write_nibbles_32(std::byte* out, const int8_t* q, int offset) {
  for (int j = 0; j < 16; ++j) {
    out[j] = static_cast<std::byte>(((q[j] + offset) & 15) | (((q[j + 16] + offset) & 15) << 4));
  }
}

// Bit e is bit 4 of element e.
void write_fifth_bits(std::byte* out, const int8_t* q, int offset) {
  uint32_t high = 0;
  for (int e = 0; e < 32; ++e) high |= static_cast<uint32_t>(((q[e] + offset) >> 4) & 1) << e;
  std::memcpy(out, &high, sizeof(high));
}

// Eight 6-bit scales and eight 6-bit minimums in twelve bytes.
void write_scales_6bit(std::byte* out, const QuantBlock& block) {
  for (int b = 0; b < 4; ++b) {
    const int sc = block.sc[b], sc_later = block.sc[b + 4], mn = block.mn[b], mn_later = block.mn[b + 4];
    out[b] = static_cast<std::byte>(sc | ((sc_later >> 4) << 6));
    out[b + 4] = static_cast<std::byte>(mn | ((mn_later >> 4) << 6));
    out[b + 8] = static_cast<std::byte>((sc_later & 15) | ((mn_later & 15) << 4));
  }
}

// Pair p of sub-blocks shares 32 bytes: low nibbles are sub-block 2p, high ones 2p + 1.
void write_nibbles_256(std::byte* out, const int8_t* q) {
  for (int p = 0; p < 4; ++p) {
    for (int l = 0; l < 32; ++l) {
      out[32 * p + l] = static_cast<std::byte>((q[64 * p + l] & 15) | ((q[64 * p + 32 + l] & 15) << 4));
    }
  }
}

// Bit b of byte l is bit 4 of element l of sub-block b.
void write_fifth_bits_256(std::byte* out, const int8_t* q) {
  for (int l = 0; l < 32; ++l) {
    int high = 0;
    for (int b = 0; b < 8; ++b) high |= ((q[32 * b + l] >> 4) & 1) << b;
    out[l] = static_cast<std::byte>(high);
  }
}

void write_q6_k(std::byte* out, const QuantBlock& block) {
  for (int h = 0; h < 2; ++h) {
    const int8_t* half = block.q + 128 * h;
    for (int l = 0; l < 32; ++l) {
      const int a = half[l] + 32, b = half[32 + l] + 32, c = half[64 + l] + 32, e = half[96 + l] + 32;
      out[64 * h + l] = static_cast<std::byte>((a & 15) | ((c & 15) << 4));
      out[64 * h + 32 + l] = static_cast<std::byte>((b & 15) | ((e & 15) << 4));
      out[128 + 32 * h + l] = static_cast<std::byte>((a >> 4) | ((b >> 4) << 2) | ((c >> 4) << 4) | ((e >> 4) << 6));
    }
  }
  std::memcpy(out + 192, block.sc, 16);
  write_f16(out + 208, block.d);
}

// Q4_1, Q5_1, Q4_K, Q5_K.
void write_two_scales(std::byte* out, const QuantBlock& block) {
  write_f16(out, block.d);
  write_f16(out + 2, block.m);
}

}  // namespace

void write_quant_block(DType dtype, const QuantBlock& block, std::byte* out) {
  switch (dtype) {
    case DType::kQ8_0:
      write_f16(out, block.d);
      std::memcpy(out + 2, block.q, 32);
      return;
    case DType::kQ4_0: write_f16(out, block.d); return write_nibbles_32(out + 2, block.q, 8);
    case DType::kQ4_1: write_two_scales(out, block); return write_nibbles_32(out + 4, block.q, 0);
    case DType::kQ5_0:
      write_f16(out, block.d);
      write_fifth_bits(out + 2, block.q, 16);
      return write_nibbles_32(out + 6, block.q, 16);
    case DType::kQ5_1:
      write_two_scales(out, block);
      write_fifth_bits(out + 4, block.q, 0);
      return write_nibbles_32(out + 8, block.q, 0);
    case DType::kQ4_K:
      write_two_scales(out, block);
      write_scales_6bit(out + 4, block);
      return write_nibbles_256(out + 16, block.q);
    case DType::kQ5_K:
      write_two_scales(out, block);
      write_scales_6bit(out + 4, block);
      write_fifth_bits_256(out + 16, block.q);
      return write_nibbles_256(out + 48, block.q);
    case DType::kQ6_K: return write_q6_k(out, block);
    default: NARU_CHECK(false, dtype_name(dtype), "is no quantised kind");
  }
}

}  // namespace naru::formats
