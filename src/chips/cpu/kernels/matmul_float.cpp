// Segments of the float rules. Rule f32: one chain of fma an output, inputs ascending. Rule bf16: per block of 32 a
// chain of the even and one of the odd inputs from +0, then acc + (even + odd).
//
// The blocks of rows and panels keep a tile of accumulators in registers: each weight vector loaded serves R rows,
// each broadcast activation all panels of the tile.

#include "chips/cpu/kernels/matmul_kernels.h"
#include "chips/cpu/kernels/panel_reads.h"
#include "contract/rows.h"

namespace naru::cpu::NARU_LEVEL {
namespace {

struct F32Weights {
  static constexpr int kBytes = 4;
  NARU_INLINE static F32xN widen(const std::byte* p) { return load<F32xN>(p); }
};
struct F16Weights {
  static constexpr int kBytes = 2;
  NARU_INLINE static F32xN widen(const std::byte* p) { return load_f16(p); }
};
struct BF16Weights {
  static constexpr int kBytes = 2;
  NARU_INLINE static F32xN widen(const std::byte* p) { return load_bf16(p); }
};

template <int R, int NV>
NARU_INLINE void clear(F32xN (&acc)[R][NV]) {
#pragma GCC unroll 32
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 16
    for (int v = 0; v < NV; ++v) acc[r][v] = zero<F32xN>();
  }
}

template <int R, int NV>
NARU_INLINE void store_tile(const F32xN (&acc)[R][NV], float* tile) {
#pragma GCC unroll 32
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 16
    for (int v = 0; v < NV; ++v) store(tile + (r * NV + v) * kLanes, acc[r][v]);
  }
}

// acc += x (one dword a row) * w (one vector a vector of outputs).
template <int R, int NV>
NARU_INLINE void multiply(F32xN (&acc)[R][NV], const std::byte* x, const F32xN (&w)[NV]) {
#pragma GCC unroll 32
  for (int r = 0; r < R; ++r) {
    if (is_read_in_place<R, NV>(r)) {
#pragma GCC unroll 16
      for (int v = 0; v < NV; ++v) acc[r][v] = fma_splat(x + 4 * r, w[v], acc[r][v]);
      continue;
    }
    const F32xN a = load_splat<F32xN>(x + 4 * r);
#pragma GCC unroll 16
    for (int v = 0; v < NV; ++v) acc[r][v] = fma(a, w[v], acc[r][v]);
  }
}

template <typename Weights, int R, int P>
NARU_INLINE void f32_step(F32xN (&acc)[R][P * kPanelVectors], const std::byte* w, int64_t panel_bytes,
                          const std::byte* x) {
  constexpr int NV = P * kPanelVectors;
  F32xN b[NV];
#pragma GCC unroll 16
  for (int v = 0; v < NV; ++v) {
    b[v] = Weights::widen(w + (v / kPanelVectors) * panel_bytes + (v % kPanelVectors) * kLanes * Weights::kBytes);
  }
  multiply(acc, x, b);
}

template <typename Weights, int R, int P>
void f32_segment(const std::byte* w, int64_t panel_bytes, const std::byte* x, int64_t steps, const std::byte* ahead,
                 float* tile) {
  constexpr int64_t kStepBytes = kPanel * Weights::kBytes;
  constexpr int64_t kStepsPerLine = kAheadBlocks * 64 / kStepBytes;
  F32xN acc[R][P * kPanelVectors];
  clear(acc);
  int64_t k = 0;
  for (; k + kStepsPerLine <= steps; k += kStepsPerLine) {
    fetch_ahead<R, P>(ahead, panel_bytes);
    ahead += 64;
#pragma GCC unroll 1
    for (int64_t i = 0; i < kStepsPerLine; ++i) {
      f32_step<Weights, R, P>(acc, w, panel_bytes, x);
      w += kStepBytes;
      x += 4 * R;
    }
  }
  for (; k < steps; ++k) {
    f32_step<Weights, R, P>(acc, w, panel_bytes, x);
    w += kStepBytes;
    x += 4 * R;
  }
  store_tile(acc, tile);
}

NARU_INLINE void clear_tile(float* tile, int n) {
  for (int i = 0; i < n; i += kLanes) store(tile + i, zero<F32xN>());
}

// tile += even + odd. even_at(r, v): vector v of row r of the even chain.
template <int R, int NV, typename EvenAt>
NARU_INLINE void add_chains(const EvenAt& even_at, const F32xN (&odd)[R][NV], float* tile) {
#pragma GCC unroll 32
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 16
    for (int v = 0; v < NV; ++v) {
      float* at = tile + (r * NV + v) * kLanes;
      store(at, add(load<F32xN>(at), add(even_at(r, v), odd[r][v])));
    }
  }
}

// One chain of a block: 16 dwords of weights, of which kIsOdd takes the high half. The even chain is left in `even`;
// the odd one completes the block: tile += even + odd.
template <bool kIsOdd, int R, int P>
NARU_INLINE void split_chain(const std::byte* w, int64_t panel_bytes, const std::byte* x, float* even, float* tile) {
  constexpr int NV = P * kPanelVectors;
  F32xN acc[R][NV];
  clear(acc);
#pragma GCC unroll 1
  for (int i = 0; i < 16; ++i) {
    F32xN b[NV];
#pragma GCC unroll 16
    for (int v = 0; v < NV; ++v) {
      const std::byte* at = w + (v / kPanelVectors) * panel_bytes + i * 64 + (v % kPanelVectors) * kLanes * 4;
      b[v] = kIsOdd ? upper_halves(load<I32xN>(at)) : lower_halves(load<I32xN>(at));
    }
    multiply(acc, x + i * 4 * R, b);
  }
  if constexpr (kIsOdd) {
    add_chains([even](int r, int v) { return load<F32xN>(even + (r * NV + v) * kLanes); }, acc, tile);
  } else {
    store_tile(acc, even);
  }
}

// The same as a function of its own: where the chain takes nearly all registers, none is kept for its caller.
template <bool kIsOdd, int R, int P>
[[gnu::noinline]] void split_chain_apart(const std::byte* w, int64_t panel_bytes, const std::byte* x, float* even,
                                         float* tile) {
  split_chain<kIsOdd, R, P>(w, panel_bytes, x, even, tile);
}

// The share of a block of bf16 pairs, 1024 bytes a panel.
template <int R, int P>
NARU_INLINE void fetch_pairs(const std::byte* ahead, int64_t panel_bytes) {
#pragma GCC unroll 8
  for (int i = 0; i < 1024 / kAheadBlocks / 64; ++i) fetch_ahead<R, P>(ahead + 64 * i, panel_bytes);
}

template <int R, int P>
void split_segment(const std::byte* w, int64_t panel_bytes, const std::byte* x, int64_t steps, const std::byte* ahead,
                   float* tile) {
  constexpr int NV = P * kPanelVectors;
  alignas(64) float even[R * NV * kLanes];
  clear_tile(tile, R * NV * kLanes);
  for (int64_t block = 0; block < steps; ++block) {
    fetch_pairs<R, P>(ahead + block * (1024 / kAheadBlocks), panel_bytes);
    const std::byte* odd_x = x + 16 * 4 * R;
    if constexpr (R * NV > 12) {
      split_chain_apart<false, R, P>(w, panel_bytes, x, even, tile);
      split_chain_apart<true, R, P>(w, panel_bytes, odd_x, even, tile);
    } else {
      split_chain<false, R, P>(w, panel_bytes, x, even, tile);
      split_chain<true, R, P>(w, panel_bytes, odd_x, even, tile);
    }
    w += 16 * 64;
    x += 32 * 4 * R;
  }
}

constexpr int64_t kSegment = contract::kSegment;
constexpr int64_t kSegmentBlocks = kSegment / contract::kBlock;

#if defined(NARU_LANES_512)
template <typename Weights>
constexpr RowSize kF32Sizes[] = {
    {1, {{8, f32_segment<Weights, 1, 8>}, {1, f32_segment<Weights, 1, 1>}}},
    {2, {{4, f32_segment<Weights, 2, 4>}, {1, f32_segment<Weights, 2, 1>}}},
    {4, {{4, f32_segment<Weights, 4, 4>}, {2, f32_segment<Weights, 4, 2>}, {1, f32_segment<Weights, 4, 1>}}},
    {8, {{2, f32_segment<Weights, 8, 2>}, {1, f32_segment<Weights, 8, 1>}}},
    {14, {{2, f32_segment<Weights, 14, 2>}, {1, f32_segment<Weights, 14, 1>}}},
};
constexpr RowSize kSplitSizes[] = {
    {1, {{4, split_segment<1, 4>}, {1, split_segment<1, 1>}}},
    {2, {{4, split_segment<2, 4>}, {1, split_segment<2, 1>}}},
    {4, {{2, split_segment<4, 2>}, {1, split_segment<4, 1>}}},
    {8, {{2, split_segment<8, 2>}, {1, split_segment<8, 1>}}},
    {14, {{2, split_segment<14, 2>}, {1, split_segment<14, 1>}}},
};
#elif defined(NARU_LANES_256)
template <typename Weights>
constexpr RowSize kF32Sizes[] = {
    {1, {{4, f32_segment<Weights, 1, 4>}, {1, f32_segment<Weights, 1, 1>}}},
    {2, {{2, f32_segment<Weights, 2, 2>}, {1, f32_segment<Weights, 2, 1>}}},
    {4, {{1, f32_segment<Weights, 4, 1>}}},
    {6, {{1, f32_segment<Weights, 6, 1>}}},
};
constexpr RowSize kSplitSizes[] = {
    {1, {{4, split_segment<1, 4>}, {1, split_segment<1, 1>}}},
    {2, {{2, split_segment<2, 2>}, {1, split_segment<2, 1>}}},
    {4, {{1, split_segment<4, 1>}}},
    {6, {{1, split_segment<6, 1>}}},
};
#else
template <typename Weights>
constexpr RowSize kF32Sizes[] = {{1, {{1, f32_segment<Weights, 1, 1>}}}, {4, {{1, f32_segment<Weights, 4, 1>}}}};
constexpr RowSize kSplitSizes[] = {{1, {{1, split_segment<1, 1>}}}, {4, {{1, split_segment<4, 1>}}}};
#endif

template <typename Weights>
constexpr PanelKernel f32_kernel(std::string_view name) {
  return {.name = name,
          .form = {.kind = RowKind::kF32},
          .sizes = kF32Sizes<Weights>,
          .step_inputs = 1,
          .segment_steps = kSegment,
          .segment_bytes = kSegment * kPanel * Weights::kBytes,
          .segment_dwords = kSegment};
}

constexpr PanelKernel kF32Kernel = f32_kernel<F32Weights>("f32_fma");
constexpr PanelKernel kF16Kernel = f32_kernel<F16Weights>("f32_fma_f16_weights");
constexpr PanelKernel kBF16Kernel = f32_kernel<BF16Weights>("f32_fma_bf16_weights");
constexpr PanelKernel kSplitKernel = {.name = "bf16_fma",
                                      .form = {.kind = RowKind::kSplit},
                                      .sizes = kSplitSizes,
                                      .step_inputs = contract::kBlock,
                                      .segment_steps = kSegmentBlocks,
                                      .segment_bytes = kSegment * kPanel * 2,
                                      .segment_dwords = kSegment};

#if defined(NARU_LANES_VNNI)

// acc += the two products of each dword, the high half first: two successive steps of one chain.
template <int R, int NV>
NARU_INLINE void dot_chain(F32xN (&acc)[R][NV], const std::byte* w, int64_t panel_bytes, const std::byte* x) {
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) {
    I32xN b[NV];
#pragma GCC unroll 16
    for (int v = 0; v < NV; ++v) b[v] = load<I32xN>(w + v * panel_bytes + i * 64);
#pragma GCC unroll 32
    for (int r = 0; r < R; ++r) {
      const I32xN a = load_splat<I32xN>(x + (i * R + r) * 4);
#pragma GCC unroll 16
      for (int v = 0; v < NV; ++v) acc[r][v] = dot_bf16(a, b[v], acc[r][v]);
    }
  }
}

template <int R, int P>
void dot_segment(const std::byte* w, int64_t panel_bytes, const std::byte* x, int64_t steps, const std::byte* ahead,
                 float* tile) {
  clear_tile(tile, R * P * kLanes);
  for (int64_t block = 0; block < steps; ++block) {
    fetch_pairs<R, P>(ahead + block * (1024 / kAheadBlocks), panel_bytes);
    F32xN even[R][P], odd[R][P];
    clear(even);
    dot_chain(even, w, panel_bytes, x);
    clear(odd);
    dot_chain(odd, w + 8 * 64, panel_bytes, x + 8 * 4 * R);
    add_chains([&even](int r, int v) { return even[r][v]; }, odd, tile);
    w += 16 * 64;
    x += 16 * 4 * R;
  }
}

constexpr RowSize kDotSizes[] = {
    {1, {{4, dot_segment<1, 4>}, {1, dot_segment<1, 1>}}},
    {2, {{4, dot_segment<2, 4>}, {1, dot_segment<2, 1>}}},
    {4, {{2, dot_segment<4, 2>}, {1, dot_segment<4, 1>}}},
    {6, {{2, dot_segment<6, 2>}, {1, dot_segment<6, 1>}}},
};
constexpr PanelKernel kDotKernel = {.name = "bf16_dot",
                                    .form = {.kind = RowKind::kDot},
                                    .sizes = kDotSizes,
                                    .step_inputs = contract::kBlock,
                                    .segment_steps = kSegmentBlocks,
                                    .segment_bytes = kSegment * kPanel * 2,
                                    .segment_dwords = kSegment / 2};
#endif

}  // namespace

const PanelKernel& float_kernel(Layout layout) {
  switch (layout) {
    case Layout::kF32: return kF32Kernel;
    case Layout::kF16: return kF16Kernel;
    case Layout::kBF16: return kBF16Kernel;
    case Layout::kPairs: return kSplitKernel;
#if defined(NARU_LANES_VNNI)
    case Layout::kDotPairs: return kDotKernel;
#endif
    default: NARU_CHECK(false, "no float layout of this level:", static_cast<int>(layout));
  }
}

}  // namespace naru::cpu::NARU_LEVEL
