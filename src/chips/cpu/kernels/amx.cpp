// Products by tiles: rule bf16 by TDPBF16PS, w8a8 by TDPBSUD. Both operands lie in tile order (Layout::kPairs and
// kBytes; RowKind::kPairTiles and kTileBytes), so a tile is 1024 bytes in a row. One or two tiles of rows meet one or
// two panels: four accumulators keep the unit busy while tiles are loaded.

#include "chips/cpu/kernels/amx_tiles.h"
#include "chips/cpu/kernels/matmul_kernels.h"
#include "chips/cpu/kernels/panel_reads.h"
#include "contract/rows.h"

namespace naru::cpu::NARU_LEVEL {
namespace {

// Loads the operands of one step and multiplies: accumulator 2 * i + p is row tile i and panel p.
template <bool kIsBytes, int kA, int kB, int kC, typename Tiles>
NARU_INLINE void multiply(Tiles& tiles) {
  if constexpr (kIsBytes) {
    tiles.template multiply_bytes<kC, kA, kB>();
  } else {
    tiles.template multiply_bf16<kC, kA, kB>();
  }
}

template <bool kIsBytes, int RT, int P, typename Tiles>
NARU_INLINE void multiply_steps(Tiles& tiles, const std::byte* w, int64_t panel_bytes, const std::byte* x,
                                int64_t steps, const std::byte* ahead) {
  tiles.template zero<0>();
  tiles.template zero<1>();
  tiles.template zero<2>();
  tiles.template zero<3>();
  for (int64_t step = 0; step < steps; ++step) {
    for (int64_t i = 0; i < kTileBytes / kAheadBlocks; i += 64) {
      for (int64_t p = 0; p < P; ++p) fetch_line(ahead + p * panel_bytes + i);
    }
    ahead += kTileBytes / kAheadBlocks;
    tiles.template load<4>(x);
    tiles.template load<6>(w);
    multiply<kIsBytes, 4, 6, 0>(tiles);
    if constexpr (P == 2) {
      tiles.template load<7>(w + panel_bytes);
      multiply<kIsBytes, 4, 7, 1>(tiles);
    }
    if constexpr (RT == 2) {
      tiles.template load<5>(x + kTileBytes);
      multiply<kIsBytes, 5, 6, 2>(tiles);
      if constexpr (P == 2) multiply<kIsBytes, 5, 7, 3>(tiles);
    }
    x += RT * kTileBytes;
    w += kTileBytes;
  }
}

// Accumulators to RT * 16 rows of [P][16] dwords, `stride` bytes apart.
template <int RT, int P, typename Tiles>
NARU_INLINE void store_steps(const Tiles& tiles, void* out, int64_t stride) {
  std::byte* to = static_cast<std::byte*>(out);
  tiles.template store<0>(to, stride);
  if constexpr (P == 2) tiles.template store<1>(to + 64, stride);
  if constexpr (RT == 2) {
    tiles.template store<2>(to + 16 * stride, stride);
    if constexpr (P == 2) tiles.template store<3>(to + 16 * stride + 64, stride);
  }
}

// The final + (+0) of the accumulators: a block of zeros more.
template <int RT, int P, typename Tiles>
NARU_INLINE void add_zeros(Tiles& tiles) {
  tiles.template zero<4>();
  tiles.template zero<6>();
  multiply<false, 4, 6, 0>(tiles);
  if constexpr (P == 2) multiply<false, 4, 6, 1>(tiles);
  if constexpr (RT == 2) multiply<false, 4, 6, 2>(tiles);
  if constexpr (RT == 2 && P == 2) multiply<false, 4, 6, 3>(tiles);
}

template <typename Tiles, int RT, int P>
void pairs_segment(const std::byte* w, int64_t panel_bytes, const std::byte* x, int64_t steps, const std::byte* ahead,
                   float* tile) {
  Tiles tiles;
  multiply_steps<false, RT, P>(tiles, w, panel_bytes, x, steps, ahead);
  store_steps<RT, P>(tiles, tile, P * 64);
}

template <typename Tiles, int RT, int P>
void pairs_rows(const std::byte* w, int64_t panel_bytes, const std::byte* x, int64_t steps, const std::byte* ahead,
                float* out, int64_t out_stride) {
  Tiles tiles;
  multiply_steps<false, RT, P>(tiles, w, panel_bytes, x, steps, ahead);
  add_zeros<RT, P>(tiles);
  store_steps<RT, P>(tiles, out, out_stride * 4);
}

template <typename Tiles, int RT, int P>
void bytes_segment(const std::byte* w, int64_t panel_bytes, const std::byte* x, int64_t steps, const std::byte* ahead,
                   float* tile) {
  constexpr int R = RT * kAmxTileRows;
  alignas(64) uint32_t sums[R * P * 16];
  Tiles tiles;
  multiply_steps<true, RT, P>(tiles, w + kPanel * 4, panel_bytes, x, steps, ahead);
  store_steps<RT, P>(tiles, sums, P * 64);
  const std::byte* tail = x + steps * RT * kTileBytes;
  for (int r = 0; r < R; ++r) {
    uint32_t compensation;
    std::memcpy(&compensation, tail + r * 64 + 4, 4);
    const F32xN scale = load_splat<F32xN>(tail + r * 64);
    for (int p = 0; p < P; ++p) {
      const int at = (r * P + p) * 16;
      float f[16];
      for (int i = 0; i < 16; ++i) f[i] = static_cast<float>(static_cast<int32_t>(sums[at + i] + compensation));
      for (int i = 0; i < 16; i += kLanes) {
        const F32xN s_out = load<F32xN>(w + p * panel_bytes + 4 * i);
        store(tile + at + i, mul(mul(load<F32xN>(f + i), scale), s_out));
      }
    }
  }
}

template <typename Tiles>
constexpr RowSize kTilePairsSizes[] = {
    {16, {{2, pairs_segment<Tiles, 1, 2>, pairs_rows<Tiles, 1, 2>}, {1, pairs_segment<Tiles, 1, 1>}}},
    {32, {{2, pairs_segment<Tiles, 2, 2>, pairs_rows<Tiles, 2, 2>}, {1, pairs_segment<Tiles, 2, 1>}}},
};
template <typename Tiles>
constexpr RowSize kTileBytesSizes[] = {
    {16, {{2, bytes_segment<Tiles, 1, 2>}, {1, bytes_segment<Tiles, 1, 1>}}},
    {32, {{2, bytes_segment<Tiles, 2, 2>}, {1, bytes_segment<Tiles, 2, 1>}}},
};

// Of the 48 KiB that processors with tiles have nearest.
constexpr int64_t kPassBytes = 40 << 10;
constexpr int64_t kTaskLeast = 64 << 10;  // two million multiplications and additions

template <typename Tiles>
constexpr PanelKernel pairs_kernel(std::string_view name) {
  return {.name = name,
          .form = {.kind = RowKind::kPairTiles},
          .sizes = kTilePairsSizes<Tiles>,
          .step_inputs = contract::kBlock,
          .segment_steps = contract::kSegment / contract::kBlock,
          .segment_bytes = contract::kSegment * kPanel * 2,
          .segment_dwords = contract::kSegment / 2,
          .task_least = kTaskLeast,
          .pass_bytes = kPassBytes};
}
template <typename Tiles>
constexpr PanelKernel bytes_kernel(std::string_view name) {
  return {.name = name, .form = {.kind = RowKind::kByteTiles}, .sizes = kTileBytesSizes<Tiles>, .step_inputs = 64};
}

constexpr PanelKernel kModelPairs = pairs_kernel<ModelTiles>("bf16_tiles_model");
constexpr PanelKernel kModelBytes = bytes_kernel<ModelTiles>("w8a8_tiles_model");

}  // namespace

#if defined(NARU_LEVEL_amx)

namespace {

constexpr PanelKernel kMachinePairs = pairs_kernel<MachineTiles>("bf16_tiles_32x32");
constexpr PanelKernel kMachineBytes = bytes_kernel<MachineTiles>("w8a8_tiles_32x32");

// The operand of LDTILECFG: palette 1, all eight tiles 16 rows of 64 bytes.
struct TileConfig {
  uint8_t palette = 1;
  uint8_t start_row = 0;
  uint8_t reserved[14] = {};
  uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
static_assert(sizeof(TileConfig) == 64);
alignas(64) constexpr TileConfig kTileConfig;

// Bit patterns for the probe: all exponents, zeros, subnormals, infinities and NaN come up.
uint32_t next_bits(uint64_t& state) {
  state = state * 6364136223846793005u + 1442695040888963407u;
  return static_cast<uint32_t>(state >> 32);
}

bool same_bits(const float* a, const float* b, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    if (contract::canonical_bits(a[i]) != contract::canonical_bits(b[i])) return false;
  }
  return true;
}

}  // namespace

void configure_tiles() {
  __asm__ volatile("ldtilecfg %0" ::"m"(kTileConfig));
}
void release_tiles() {
  __asm__ volatile("tilerelease");
}

bool tiles_give_defined_bits() {
  constexpr int kSteps = 4;
  alignas(64) static uint32_t w[16 + 2 * kSteps * 256], x[2 * kSteps * 256 + 512];
  alignas(64) static float got[1024], want[1024];
  uint64_t state = 1;
  for (int round = 0; round < 16; ++round) {
    // Even rounds: exponents near 1, where nothing overflows; odd rounds: all bit patterns.
    const uint32_t keep = round % 2 == 0 ? 0x83ff83ffu : 0xffffffffu;
    const uint32_t base = round % 2 == 0 ? 0x3c003c00u : 0u;
    for (uint32_t& bits : w) bits = (next_bits(state) & keep) | base;
    for (uint32_t& bits : x) bits = (next_bits(state) & keep) | base;
    const auto* wb = reinterpret_cast<const std::byte*>(w + 16);
    const auto* xb = reinterpret_cast<const std::byte*>(x);
    pairs_segment<MachineTiles, 2, 2>(wb, kSteps * kTileBytes, xb, kSteps, wb, got);
    pairs_segment<ModelTiles, 2, 2>(wb, kSteps * kTileBytes, xb, kSteps, wb, want);
    if (!same_bits(got, want, 1024)) return false;
    wb = reinterpret_cast<const std::byte*>(w);
    bytes_segment<MachineTiles, 2, 1>(wb, 0, xb, kSteps, wb, got);
    bytes_segment<ModelTiles, 2, 1>(wb, 0, xb, kSteps, wb, want);
    if (!same_bits(got, want, 512)) return false;
  }
  return true;
}

#endif

const PanelKernel* tile_kernel(Layout layout, bool is_emulated) {
  const bool is_pairs = layout == Layout::kPairs;
  if (!is_pairs && layout != Layout::kBytes) return nullptr;
  if (is_emulated) return is_pairs ? &kModelPairs : &kModelBytes;
#if defined(NARU_LEVEL_amx)
  return is_pairs ? &kMachinePairs : &kMachineBytes;
#else
  return nullptr;
#endif
}

}  // namespace naru::cpu::NARU_LEVEL
