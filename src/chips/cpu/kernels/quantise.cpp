// Rows of activations in the forms that the products' kernels read (RowForm): rounding to bf16, quantisation to int8
// with a scale (docs/arithmetic.md section 3), and the interleaving of the rows of a block.
//
// Written as plain loops that compilers turn into vectors. None needs flush-to-zero: maxima and classes are taken from
// the bits, and a subnormal quotient rounds to the integer 0 with and without it.

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/float_bits.h"
#include "chips/cpu/kernels/matmul_kernels.h"
#include "chips/cpu/kernels/transpose.h"
#include "contract/rows.h"

namespace naru::cpu::NARU_LEVEL {
namespace {

using contract::kBlock;
using contract::Rule;

// One dword of two bf16: `low` in the low half.
inline uint32_t pair(uint32_t low, uint32_t high) {
  return low | high << 16;
}

inline uint32_t bf16_bits(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t magnitude = bits & 0x7fffffffu;
  const uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  const uint32_t flushed = magnitude < 0x00800000u ? (bits >> 16) & 0x8000u : rounded;
  return magnitude > 0x7f800000u ? 0x7fc0u : flushed;
}

// The 32 inputs of block `block`, rounded; inputs past the end are +0.
inline void round_block(const float* x, int64_t inputs, int64_t block, uint32_t* bits) {
  const int64_t n = std::min(kBlock, inputs - block * kBlock);
  x += block * kBlock;
  if (n == kBlock) {
    for (int i = 0; i < kBlock; ++i) bits[i] = bf16_bits(x[i]);
    return;
  }
  for (int64_t i = 0; i < kBlock; ++i) bits[i] = i < n ? bf16_bits(x[i]) : 0u;
}

void write_rounded(RowKind kind, const float* x, int64_t inputs, uint32_t* out) {
  for (int64_t block = 0; block < ceil_div(inputs, kBlock); ++block) {
    uint32_t bits[kBlock];
    round_block(x, inputs, block, bits);
    if (kind == RowKind::kSplit) {
      for (int i = 0; i < 16; ++i) out[i] = bits[2 * i] << 16, out[16 + i] = bits[2 * i + 1] << 16;
      out += 32;
    } else if (kind == RowKind::kDot) {
      for (int i = 0; i < 8; ++i) out[i] = pair(bits[4 * i + 2], bits[4 * i]);
      for (int i = 0; i < 8; ++i) out[8 + i] = pair(bits[4 * i + 3], bits[4 * i + 1]);
      out += 16;
    } else {
      for (int i = 0; i < 16; ++i) out[i] = pair(bits[2 * i], bits[2 * i + 1]);
      out += 16;
    }
  }
}

constexpr uint32_t kInfinityBits = 0x7f800000u;

uint32_t largest_magnitude(const float* x, int64_t n) {
  uint32_t largest = 0;
  for (int64_t i = 0; i < n; ++i) largest = std::max(largest, std::bit_cast<uint32_t>(x[i]) & 0x7fffffffu);
  return largest;
}

// q = rne(x * inverse), |q| <= 127: adding 1.5 * 2^23 leaves the nearest integer in the low bits.
inline void quantise(const float* x, int64_t n, float inverse, int8_t* q) {
  for (int64_t i = 0; i < n; ++i) {
    const float shifted = x[i] * inverse + 0x1.8p23f;
    q[i] = static_cast<int8_t>(static_cast<uint8_t>(std::bit_cast<uint32_t>(shifted)));
  }
}

// Quantises n inputs; returns the scale. A largest magnitude below 2^-64 gives zeros and scale 0, a non-finite one
// zeros and scale NaN.
inline float quantise_run(const float* x, int64_t n, int8_t* q) {
  const uint32_t largest = largest_magnitude(x, n);
  const float amax = std::bit_cast<float>(largest);
  if (largest >= kInfinityBits || amax < 0x1p-64f) {
    for (int64_t i = 0; i < n; ++i) q[i] = 0;
    return largest >= kInfinityBits ? std::bit_cast<float>(0x7fc00000u) : 0.0f;
  }
  quantise(x, n, 127.0f / amax, q);
  return amax / 127.0f;
}

inline int32_t sum_of(const int8_t* q, int64_t n) {
  int32_t sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += q[i];
  return sum;
}

// One block of a GGUF kind's form: integers, scale, and what the rule makes of the integers' sum.
template <Rule kRule>
inline uint32_t* write_block(const float* x, uint32_t* out) {
  int8_t q[kBlock];
  const float scale = quantise_run(x, kBlock, q);
  std::memcpy(out, q, kBlock);
  out[8] = std::bit_cast<uint32_t>(scale);
  constexpr int kOffset = block_geometry(kRule).offset;
  if constexpr (kRule == Rule::kQ6_K) {
    out[9] = static_cast<uint32_t>(-kOffset * sum_of(q, 16));
    out[10] = static_cast<uint32_t>(-kOffset * sum_of(q + 16, 16));
    return out + 11;
  }
  const int32_t sum = sum_of(q, kBlock);
  if constexpr (kRule == Rule::kQ4_1 || kRule == Rule::kQ5_1) {
    out[9] = std::bit_cast<uint32_t>(static_cast<float>(sum));
  } else if constexpr (kRule == Rule::kQ4_K || kRule == Rule::kQ5_K) {
    out[9] = std::bit_cast<uint32_t>(static_cast<float>(sum) * scale);  // normal, zero or NaN: scale >= 2^-64 / 127
  } else {
    out[9] = static_cast<uint32_t>(-kOffset * sum);
  }
  return out + 10;
}

template <Rule kRule>
void write_blocks(const float* x, int64_t inputs, uint32_t* out) {
  for (int64_t k = 0; k < inputs; k += kBlock) out = write_block<kRule>(x + k, out);
}

void write_blocks_of(Rule rule, const float* x, int64_t inputs, uint32_t* out) {
  switch (rule) {
    case Rule::kQ8_0: return write_blocks<Rule::kQ8_0>(x, inputs, out);
    case Rule::kQ4_0: return write_blocks<Rule::kQ4_0>(x, inputs, out);
    case Rule::kQ4_1: return write_blocks<Rule::kQ4_1>(x, inputs, out);
    case Rule::kQ5_0: return write_blocks<Rule::kQ5_0>(x, inputs, out);
    case Rule::kQ5_1: return write_blocks<Rule::kQ5_1>(x, inputs, out);
    case Rule::kQ4_K: return write_blocks<Rule::kQ4_K>(x, inputs, out);
    case Rule::kQ5_K: return write_blocks<Rule::kQ5_K>(x, inputs, out);
    case Rule::kQ6_K: return write_blocks<Rule::kQ6_K>(x, inputs, out);
    default: NARU_CHECK(false, "no block rule:", static_cast<int>(rule));
  }
}

// w8a8: one scale for the whole row. `dwords` counts the integers with their zero padding; the tail follows.
void write_bytes(const float* x, int64_t inputs, int64_t dwords, uint32_t* out) {
  std::fill(out + inputs / 4, out + dwords, 0u);
  auto* q = reinterpret_cast<int8_t*>(out);
  const float scale = quantise_run(x, inputs, q);
  out[dwords] = std::bit_cast<uint32_t>(scale);
  out[dwords + 1] = static_cast<uint32_t>(-128) * static_cast<uint32_t>(sum_of(q, inputs));
}

// Dwords d, d + 1, ... of R rows, 16 at a time. Each vector's lanes past R are written again by what follows it, so the
// last dwords are left to the caller; returns the first of them.
template <int R>
int64_t interleave_blocks(const uint32_t* const* rows, int64_t dwords, uint32_t* out) {
  static_assert(R >= 8 && R <= 16);
  int64_t d = 0;
  for (; d + 16 < dwords; d += 16) {
    F32x16 x[16];
    for (int r = 0; r < 16; ++r) x[r] = r < R ? load(reinterpret_cast<const float*>(rows[r] + d)) : zero();
    transpose(x);
    for (int i = 0; i < 16; ++i) store(reinterpret_cast<float*>(out + (d + i) * R), x[i]);
  }
  return d;
}

template <int R>
void interleave_rows_of(const uint32_t* const* rows, int64_t dwords, uint32_t* out) {
  const uint32_t* row[R];
  for (int r = 0; r < R; ++r) row[r] = rows[r];
  int64_t first = 0;
  if constexpr (R >= 8) first = interleave_blocks<R>(rows, dwords, out);
  for (int64_t d = first; d < dwords; ++d) {
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) out[d * R + r] = row[r][d];
  }
}

}  // namespace

int64_t row_dwords(const RowForm& form, int64_t inputs) {
  const int64_t blocks = ceil_div(inputs, kBlock);
  switch (form.kind) {
    case RowKind::kF32: return inputs;
    case RowKind::kSplit: return blocks * 32;
    case RowKind::kDot:
    case RowKind::kPairTiles: return blocks * 16;
    case RowKind::kBlocks: return blocks * (form.rule == Rule::kQ6_K ? 11 : 10);
    case RowKind::kBytes: return blocks * 8 + 2;
    case RowKind::kByteTiles: return ceil_div(inputs, 64) * 16 + 16;
  }
  return 0;
}

void write_row(const RowForm& form, const float* x, int64_t inputs, uint32_t* out) {
  switch (form.kind) {
    case RowKind::kF32: std::memcpy(out, x, static_cast<size_t>(inputs) * 4); return;
    case RowKind::kSplit:
    case RowKind::kDot:
    case RowKind::kPairTiles: return write_rounded(form.kind, x, inputs, out);
    case RowKind::kBlocks: return write_blocks_of(form.rule, x, inputs, out);
    case RowKind::kBytes: return write_bytes(x, inputs, ceil_div(inputs, kBlock) * 8, out);
    case RowKind::kByteTiles: return write_bytes(x, inputs, ceil_div(inputs, 64) * 16, out);
  }
}

void interleave_rows(const RowForm& form, const uint32_t* const* rows, int n_rows, int64_t dwords, uint32_t* out) {
  if (form.kind == RowKind::kPairTiles || form.kind == RowKind::kByteTiles) {
    for (int64_t unit = 0; unit < dwords / 16; ++unit) {
      for (int r = 0; r < n_rows; ++r) {
        std::memcpy(out + (unit * n_rows + r) * 16, rows[r] + unit * 16, 64);
      }
    }
    return;
  }
  switch (n_rows) {
    case 1: std::memcpy(out, rows[0], static_cast<size_t>(dwords) * 4); return;
    case 2: return interleave_rows_of<2>(rows, dwords, out);
    case 4: return interleave_rows_of<4>(rows, dwords, out);
    case 6: return interleave_rows_of<6>(rows, dwords, out);
    case 8: return interleave_rows_of<8>(rows, dwords, out);
    case 14: return interleave_rows_of<14>(rows, dwords, out);
    default: NARU_CHECK(false, "no kernel takes this many rows:", n_rows);
  }
}

}  // namespace naru::cpu::NARU_LEVEL
