// Segments of the integer rules: the integer dot of a block of 32 is exact in any order; the f32 steps that follow are
// those of docs/arithmetic.md section 3 in their order. Weights are unsigned with an offset; start() of a dot takes off
// offset * (sum of the activations), which comes with the row.
//
// Products of two integers with a scale of a K kind stay below 2^24, so they are exact in f32.

#include <array>
#include <utility>

#include "chips/cpu/kernels/matmul_dots.h"
#include "chips/cpu/kernels/matmul_kernels.h"
#include "chips/cpu/kernels/panel_reads.h"
#include "contract/rows.h"

namespace naru::cpu::NARU_LEVEL {
namespace {

using contract::Rule;

constexpr int kVectorBytes = 4 * kLanes;  // of a vector of dwords

// The unsigned weights of group kGroup (four inputs a lane) of the block at `data`.
template <int kBits, int kGroup>
NARU_INLINE U8x4N load_group(const std::byte* data) {
  if constexpr (kBits == 8) return load<U8x4N>(data + kGroup * 64);
  constexpr int kPlanes = kBits == 5 ? 64 : kBits == 6 ? 128 : 0;
  const U8x4N both = load<U8x4N>(data + kPlanes + kGroup % 4 * 64);
  const U8x4N nibbles = kGroup < 4 ? low_nibbles(both) : high_nibbles(both);
  if constexpr (kBits == 5) return put_above<kGroup, 0x10>(nibbles, load<U8x4N>(data));
  if constexpr (kBits == 6) return put_above<2 * (kGroup % 4), 0x30>(nibbles, load<U8x4N>(data + kGroup / 4 * 64));
  return nibbles;
}

// One step of the dots of R rows: the weights of kGroup.
template <int kBits, int kGroup, int kStep, int R, int kMax>
NARU_INLINE void dot_group(Dots<kMax> (&dots)[R], const std::byte* data, const std::byte* x) {
  const auto w = Dots<kMax>::prepare(load_group<kBits, kGroup>(data));
#pragma GCC unroll 32
  for (int r = 0; r < R; ++r) dots[r].template step<kStep>(w, x + (kGroup * R + r) * 4);
}

// All eight groups, the two nibbles of a byte one after the other.
template <int kBits, int R, int kMax>
NARU_INLINE void dot_block(Dots<kMax> (&dots)[R], const std::byte* data, const std::byte* x) {
  dot_group<kBits, 0, 0>(dots, data, x);
  dot_group<kBits, 4, 1>(dots, data, x);
  dot_group<kBits, 1, 2>(dots, data, x);
  dot_group<kBits, 5, 3>(dots, data, x);
  dot_group<kBits, 2, 4>(dots, data, x);
  dot_group<kBits, 6, 5>(dots, data, x);
  dot_group<kBits, 3, 6>(dots, data, x);
  dot_group<kBits, 7, 7>(dots, data, x);
}

// Groups kFirst to kFirst + 3: one half of a block of Q6_K.
template <int kBits, int kFirst, int R, int kMax>
NARU_INLINE void dot_half(Dots<kMax> (&dots)[R], const std::byte* data, const std::byte* x) {
  dot_group<kBits, kFirst, 0>(dots, data, x);
  dot_group<kBits, kFirst + 1, 1>(dots, data, x);
  dot_group<kBits, kFirst + 2, 2>(dots, data, x);
  dot_group<kBits, kFirst + 3, 3>(dots, data, x);
}

// Dwords of a row a block: the integers, the scale, one more or two.
constexpr int block_dwords(Rule rule) {
  return rule == Rule::kQ6_K ? 11 : 10;
}

constexpr bool has_minimum(Rule rule) {
  return rule == Rule::kQ4_1 || rule == Rule::kQ5_1;
}
constexpr bool is_super(Rule rule) {
  return rule == Rule::kQ4_K || rule == Rule::kQ5_K;
}

template <Rule kRule>
constexpr int kWeightMax = (1 << block_geometry(kRule).bits) - 1;

// Block j of a chunk, kinds whose blocks have their own scale.
template <Rule kRule, int R>
NARU_INLINE void simple_block(F32xN (&acc)[R], const std::byte* header, const std::byte* data, const std::byte* x) {
  constexpr int kBits = block_geometry(kRule).bits;
  Dots<kWeightMax<kRule>> dots[R];
#pragma GCC unroll 32
  for (int r = 0; r < R; ++r) {
    if constexpr (has_minimum(kRule)) {
      dots[r].start_zero();
    } else {
      dots[r].start(x + (9 * R + r) * 4);
    }
  }
  dot_block<kBits>(dots, data, x);
  const F32xN d = load_f16(header);
  const F32xN m = has_minimum(kRule) ? load_f16(header + 32) : zero<F32xN>();
#pragma GCC unroll 32
  for (int r = 0; r < R; ++r) {
    const F32xN da = load_splat<F32xN>(x + (8 * R + r) * 4);
    acc[r] = fma(to_f32(dots[r].finish()), mul(d, da), acc[r]);
    if constexpr (has_minimum(kRule)) acc[r] = fma(load_splat<F32xN>(x + (9 * R + r) * 4), mul(m, da), acc[r]);
  }
}

// Where several rows share the weights, one panel is one stream, read slower than the processor's own prefetching
// expects: ask for what comes. A single row reads several panels at once and is better left alone (measured on Zen 4).
constexpr int kPrefetchRowsMin = 4;
constexpr int64_t kPrefetchBytes = 2048;

// Cache lines of a block with its share of the header.
template <Rule kRule>
constexpr int kPrefetchLines = static_cast<int>((block_geometry(kRule).chunk_bytes() / kChunkBlocks + 63) / 64);

template <Rule kRule, int R, int NV>
NARU_INLINE void prefetch_block(const std::byte* data) {
  if constexpr (R >= kPrefetchRowsMin && NV == kPanelVectors)
    prefetch_lines<kPrefetchLines<kRule>>(data + kPrefetchBytes);
}

template <Rule kRule, int R, int NV>
NARU_INLINE void simple_chunk(F32xN (&acc)[NV][R], const std::byte* w, int64_t panel_bytes, const std::byte* x,
                              int64_t blocks) {
  constexpr BlockGeometry kGeometry = block_geometry(kRule);
  const int64_t header = kGeometry.header_bytes(blocks);
  for (int64_t j = 0; j < blocks; ++j) {
#pragma GCC unroll 8
    for (int v = 0; v < NV; ++v) {
      const std::byte* chunk = w + (v / kPanelVectors) * panel_bytes;
      const int lane = v % kPanelVectors * kLanes;
      if (v == 0) prefetch_block<kRule, R, NV>(chunk + header + j * kGeometry.block_bytes);
      simple_block<kRule, R>(acc[v], chunk + j * kGeometry.header_block + 2 * lane,
                             chunk + header + j * kGeometry.block_bytes + 4 * lane,
                             x + j * block_dwords(kRule) * 4 * R);
    }
  }
}

// A super-block of Q4_K or Q5_K: s and t over its eight blocks, then two steps of acc.
template <Rule kRule, int R, int NV>
NARU_INLINE void super_chunk(F32xN (&acc)[NV][R], const std::byte* w, int64_t panel_bytes, const std::byte* x,
                             int64_t) {
  constexpr BlockGeometry kGeometry = block_geometry(kRule);
#pragma GCC unroll 8
  for (int v = 0; v < NV; ++v) {
    const int lane = v % kPanelVectors * kLanes;
    const std::byte* chunk = w + (v / kPanelVectors) * panel_bytes;
    F32xN s[R], t[R];
#pragma GCC unroll 32
    for (int r = 0; r < R; ++r) s[r] = zero<F32xN>(), t[r] = zero<F32xN>();
    for (int j = 0; j < 8; ++j) {
      const std::byte* xb = x + j * 10 * 4 * R;
      if (v == 0) prefetch_block<kRule, R, NV>(chunk + kGeometry.header_chunk + j * kGeometry.block_bytes);
      Dots<kWeightMax<kRule>> dots[R];
#pragma GCC unroll 32
      for (int r = 0; r < R; ++r) dots[r].start_zero();
      dot_block<kGeometry.bits>(dots, chunk + kGeometry.header_chunk + j * kGeometry.block_bytes + 4 * lane, xb);
      const F32xN sc = to_f32(load_u8(chunk + 64 + 16 * j + lane));
      const F32xN mn = to_f32(load_u8(chunk + 192 + 16 * j + lane));
#pragma GCC unroll 32
      for (int r = 0; r < R; ++r) {
        s[r] = fma(mul(to_f32(dots[r].finish()), sc), load_splat<F32xN>(xb + (8 * R + r) * 4), s[r]);
        t[r] = fma(mn, load_splat<F32xN>(xb + (9 * R + r) * 4), t[r]);
      }
    }
    const F32xN d = load_f16(chunk + 2 * lane);
    const F32xN dmin = load_f16(chunk + 32 + 2 * lane);
#pragma GCC unroll 32
    for (int r = 0; r < R; ++r) acc[v][r] = fnma(dmin, t[r], fma(d, s[r], acc[v][r]));
  }
}

template <int R, int NV>
NARU_INLINE void q6_chunk(F32xN (&acc)[NV][R], const std::byte* w, int64_t panel_bytes, const std::byte* x, int64_t) {
  constexpr BlockGeometry kGeometry = block_geometry(Rule::kQ6_K);
#pragma GCC unroll 8
  for (int v = 0; v < NV; ++v) {
    const int lane = v % kPanelVectors * kLanes;
    const std::byte* chunk = w + (v / kPanelVectors) * panel_bytes;
    const F32xN d = load_f16(chunk + 2 * lane);
    for (int j = 0; j < 8; ++j) {
      const std::byte* xb = x + j * 11 * 4 * R;
      const std::byte* data = chunk + kGeometry.header_chunk + j * kGeometry.block_bytes + 4 * lane;
      if (v == 0) prefetch_block<Rule::kQ6_K, R, NV>(data);
      Dots<63> dots[R];
      F32xN scaled[R];
#pragma GCC unroll 32
      for (int r = 0; r < R; ++r) dots[r].start(xb + (9 * R + r) * 4);
      dot_half<6, 0>(dots, data, xb);
      const F32xN sc0 = to_f32(load_i8(chunk + 64 + 32 * j + lane));
#pragma GCC unroll 32
      for (int r = 0; r < R; ++r) scaled[r] = mul(to_f32(dots[r].finish()), sc0);
#pragma GCC unroll 32
      for (int r = 0; r < R; ++r) dots[r].start(xb + (10 * R + r) * 4);
      dot_half<6, 4>(dots, data, xb);
      const F32xN sc1 = to_f32(load_i8(chunk + 80 + 32 * j + lane));
#pragma GCC unroll 32
      for (int r = 0; r < R; ++r) {
        const F32xN sum = fma(to_f32(dots[r].finish()), sc1, scaled[r]);
        acc[v][r] = fma(sum, mul(d, load_splat<F32xN>(xb + (8 * R + r) * 4)), acc[v][r]);
      }
    }
  }
}

template <int R, int NV>
NARU_INLINE void store_columns(const F32xN (&acc)[NV][R], float* tile) {
#pragma GCC unroll 32
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < NV; ++v) store(tile + (r * NV + v) * kLanes, acc[v][r]);
  }
}

template <Rule kRule, int R, int P>
void block_segment(const std::byte* w, int64_t panel_bytes, const std::byte* x, int64_t steps, const std::byte*,
                   float* tile) {
  constexpr int NV = P * kPanelVectors;
  F32xN acc[NV][R];
#pragma GCC unroll 8
  for (int v = 0; v < NV; ++v) {
#pragma GCC unroll 32
    for (int r = 0; r < R; ++r) acc[v][r] = zero<F32xN>();
  }
  for (int64_t block = 0; block < steps; block += kChunkBlocks) {
    const int64_t n = steps - block < kChunkBlocks ? steps - block : kChunkBlocks;
    if constexpr (kRule == Rule::kQ6_K) {
      q6_chunk<R, NV>(acc, w, panel_bytes, x, n);
    } else if constexpr (is_super(kRule)) {
      super_chunk<kRule, R, NV>(acc, w, panel_bytes, x, n);
    } else {
      simple_chunk<kRule, R, NV>(acc, w, panel_bytes, x, n);
    }
    w += block_geometry(kRule).chunk_bytes();
    x += kChunkBlocks * block_dwords(kRule) * 4 * R;
  }
  store_columns<R, NV>(acc, tile);
}

// w8a8: one integer sum over all of K, then (f32(I) * s_row) * s_out.
template <int R, int P>
void bytes_segment(const std::byte* w, int64_t panel_bytes, const std::byte* x, int64_t steps, const std::byte* ahead,
                   float* tile) {
  constexpr int NV = P * kPanelVectors;
  const std::byte* tail = x + steps * 8 * 4 * R;
  Dots<255> dots[NV][R];
#pragma GCC unroll 8
  for (int v = 0; v < NV; ++v) {
#pragma GCC unroll 32
    for (int r = 0; r < R; ++r) dots[v][r].start(tail + (R + r) * 4);
  }
  const std::byte* data = w + kPanel * 4;
  for (int64_t group = 0; group < steps * 8; ++group) {
    if (group % kAheadBlocks == 0) fetch_ahead<R, P>(ahead + group / kAheadBlocks * 64, panel_bytes);
    typename Dots<255>::Weights weights[NV];
#pragma GCC unroll 8
    for (int v = 0; v < NV; ++v) {
      weights[v] = Dots<255>::prepare(
          load<U8x4N>(data + (v / kPanelVectors) * panel_bytes + (v % kPanelVectors) * kVectorBytes));
    }
#pragma GCC unroll 32
    for (int r = 0; r < R; ++r) {
      const std::byte* at = x + r * 4;
      if (NV == 1 || is_read_in_place<R, NV>(r)) {
#pragma GCC unroll 8
        for (int v = 0; v < NV; ++v) dots[v][r].template step<0>(weights[v], at);
        continue;
      }
      const auto shared = Dots<255>::share(at);
#pragma GCC unroll 8
      for (int v = 0; v < NV; ++v) dots[v][r].template step<0>(weights[v], shared);
    }
    data += 64;
    x += 4 * R;
  }
#pragma GCC unroll 8
  for (int v = 0; v < NV; ++v) {
    const F32xN s_out = load<F32xN>(w + (v / kPanelVectors) * panel_bytes + (v % kPanelVectors) * kVectorBytes);
#pragma GCC unroll 32
    for (int r = 0; r < R; ++r) {
      const F32xN scaled = mul(to_f32(dots[v][r].finish()), load_splat<F32xN>(tail + r * 4));
      store(tile + (r * NV + v) * kLanes, mul(scaled, s_out));
    }
  }
}

#if defined(NARU_LANES_512)
template <Rule kRule>
constexpr RowSize kBlockSizes[] = {
    {1, {{4, block_segment<kRule, 1, 4>}, {1, block_segment<kRule, 1, 1>}}},
    {2, {{2, block_segment<kRule, 2, 2>}, {1, block_segment<kRule, 2, 1>}}},
    {4, {{1, block_segment<kRule, 4, 1>}}},
    {8, {{1, block_segment<kRule, 8, 1>}}},
};
constexpr RowSize kBytesSizes[] = {
    {1, {{4, bytes_segment<1, 4>}, {1, bytes_segment<1, 1>}}},
    {2, {{4, bytes_segment<2, 4>}, {1, bytes_segment<2, 1>}}},
    {4, {{4, bytes_segment<4, 4>}, {1, bytes_segment<4, 1>}}},
    {8, {{2, bytes_segment<8, 2>}, {1, bytes_segment<8, 1>}}},
};
#elif defined(NARU_LANES_256)
template <Rule kRule>
constexpr RowSize kBlockSizes[] = {
    {1, {{2, block_segment<kRule, 1, 2>}, {1, block_segment<kRule, 1, 1>}}},
    {2, {{1, block_segment<kRule, 2, 1>}}},
    {4, {{1, block_segment<kRule, 4, 1>}}},
};
constexpr RowSize kBytesSizes[] = {
    {1, {{2, bytes_segment<1, 2>}, {1, bytes_segment<1, 1>}}},
    {2, {{1, bytes_segment<2, 1>}}},
    {4, {{1, bytes_segment<4, 1>}}},
};
#else
template <Rule kRule>
constexpr RowSize kBlockSizes[] = {{1, {{1, block_segment<kRule, 1, 1>}}}, {4, {{1, block_segment<kRule, 4, 1>}}}};
constexpr RowSize kBytesSizes[] = {{1, {{1, bytes_segment<1, 1>}}}, {4, {{1, bytes_segment<4, 1>}}}};
#endif

#if defined(NARU_LANES_VNNI)
#define NARU_DOT_NAME "_vnni"
#else
#define NARU_DOT_NAME "_int16"
#endif

template <Rule kRule>
constexpr PanelKernel block_kernel(std::string_view name) {
  return {.name = name,
          .form = {.kind = RowKind::kBlocks, .rule = kRule},
          .sizes = kBlockSizes<kRule>,
          .step_inputs = contract::kBlock,
          .segment_steps = contract::kSegment / contract::kBlock,
          .segment_bytes = contract::kSegment / 256 * block_geometry(kRule).chunk_bytes(),
          .segment_dwords = contract::kSegment / contract::kBlock * block_dwords(kRule)};
}

constexpr PanelKernel kW8A8Kernel = {.name = "w8a8" NARU_DOT_NAME,
                                     .form = {.kind = RowKind::kBytes},
                                     .sizes = kBytesSizes,
                                     .step_inputs = contract::kBlock};
constexpr PanelKernel kQ8_0Kernel = block_kernel<Rule::kQ8_0>("q8_0" NARU_DOT_NAME);
constexpr PanelKernel kQ4_0Kernel = block_kernel<Rule::kQ4_0>("q4_0" NARU_DOT_NAME);
constexpr PanelKernel kQ4_1Kernel = block_kernel<Rule::kQ4_1>("q4_1" NARU_DOT_NAME);
constexpr PanelKernel kQ5_0Kernel = block_kernel<Rule::kQ5_0>("q5_0" NARU_DOT_NAME);
constexpr PanelKernel kQ5_1Kernel = block_kernel<Rule::kQ5_1>("q5_1" NARU_DOT_NAME);
constexpr PanelKernel kQ4_KKernel = block_kernel<Rule::kQ4_K>("q4_k" NARU_DOT_NAME);
constexpr PanelKernel kQ5_KKernel = block_kernel<Rule::kQ5_K>("q5_k" NARU_DOT_NAME);
constexpr PanelKernel kQ6_KKernel = block_kernel<Rule::kQ6_K>("q6_k" NARU_DOT_NAME);

}  // namespace

const PanelKernel& integer_kernel(Rule rule) {
  switch (rule) {
    case Rule::kW8A8: return kW8A8Kernel;
    case Rule::kQ8_0: return kQ8_0Kernel;
    case Rule::kQ4_0: return kQ4_0Kernel;
    case Rule::kQ4_1: return kQ4_1Kernel;
    case Rule::kQ5_0: return kQ5_0Kernel;
    case Rule::kQ5_1: return kQ5_1Kernel;
    case Rule::kQ4_K: return kQ4_KKernel;
    case Rule::kQ5_K: return kQ5_KKernel;
    case Rule::kQ6_K: return kQ6_KKernel;
    default: NARU_CHECK(false, "no integer rule:", static_cast<int>(rule));
  }
}

}  // namespace naru::cpu::NARU_LEVEL
