// The parts of a product at one level. Rows of activations are brought into the form that a kernel (PanelKernel) reads
// (RowForm), in blocks of as many rows as it takes (RowSize); a call of it computes one segment of K for one block of
// rows and a few panels of outputs (SegmentFunction). matmul_plan.h spreads the work over threads, matmul_run.h joins
// segments.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "chips/cpu/kernels/kernels.h"
#include "chips/cpu/packed.h"

namespace naru::cpu::NARU_LEVEL {

// A row of activations as a sequence of dwords. In a block of R rows, unit u of row r lies at unit u * R + r.
//   kF32        dword k = x[k]
//   kSplit      bf16 rule by f32 fma: a block of 32 is its 16 even inputs, then its 16 odd ones, rounded, as f32
//   kDot        bf16 rule by VDPBF16PS: a block is 16 dwords in the order of Layout::kDotPairs
//   kPairTiles  bf16 rule by tiles: a block is 16 dwords of pairs; the unit is the block
//   kBlocks     a block is 8 dwords of int8, then its scale, then one dword (two for Q6_K) that the rule needs
//   kBytes      w8a8: 8 dwords of int8 a block, then the row's scale, then -128 * (sum of the int8)
//   kByteTiles  w8a8 by tiles: units of 16 dwords = 64 inputs, then one unit that begins with scale and -128 * sum
enum class RowKind : uint8_t { kF32, kSplit, kDot, kPairTiles, kBlocks, kBytes, kByteTiles };

struct RowForm {
  RowKind kind = RowKind::kF32;
  contract::Rule rule = contract::Rule::kF32;  // of kBlocks
  bool operator==(const RowForm&) const = default;
};

int64_t row_dwords(const RowForm& form, int64_t inputs);
// Brings one row of `inputs` f32 into the form; out has row_dwords() dwords.
void write_row(const RowForm& form, const float* x, int64_t inputs, uint32_t* out);
// The block of n_rows written rows of `dwords` dwords each.
void interleave_rows(const RowForm& form, const uint32_t* const* rows, int n_rows, int64_t dwords, uint32_t* out);

// A block of kPairTiles from `n` rows of f32, without a written form between; the rest of its n_rows rows is +0.
void fill_tile_rows(const float* const* rows, int n, int n_rows, int64_t inputs, uint32_t* out);

// One segment: `steps` steps of K (see PanelKernel) of `panels` panels, `panel_bytes` apart, and one block of rows;
// writes tile[rows][panels][16], without the final + (+0). Blocks of many rows, which compute longer than their panels
// take to read, also ask the second-level cache for what `steps / kAheadBlocks` steps of the panels at `ahead` hold, as
// far apart as those at w; the processor's own prefetching stops at each page.
using SegmentFunction = void (*)(const std::byte* w, int64_t panel_bytes, const std::byte* x, int64_t steps,
                                 const std::byte* ahead, float* tile);
constexpr int64_t kAheadBlocks = 4;

// The same of a product that is one segment, with the final + (+0): row r goes to out + r * out_stride.
using RowsFunction = void (*)(const std::byte* w, int64_t panel_bytes, const std::byte* x, int64_t steps,
                              const std::byte* ahead, float* out, int64_t out_stride);

struct PanelFunction {
  int panels = 0;
  SegmentFunction run = nullptr;
  RowsFunction run_rows = nullptr;  // null: rows are taken from the tile
};

struct RowSize {
  int rows = 0;
  PanelFunction functions[3];  // widest first; the last one that is set takes a single panel
};

constexpr int kRowsOfBlockMax = 32;
constexpr int kPanelsMax = 8;

// The kernel of panels of one layout and rule: its functions for all numbers of rows, and what they read.
struct PanelKernel {
  std::string_view name;  // for kernel_uses()
  RowForm form;
  std::span<const RowSize> sizes;  // ascending
  int64_t step_inputs = 1;         // of a step
  int64_t segment_steps = 0;       // of a full segment; 0: all of K is one
  int64_t segment_bytes = 0;       // of a panel, a full segment
  int64_t segment_dwords = 0;      // of a row in its form, a full segment
  int64_t task_least = 1;          // panels * rows * inputs of a task that is worth a thread's asking for it
  int64_t pass_bytes = 0;          // what a block and the panels that it meets in one go may take of the nearest cache
};

// The kernel for `rows` rows against panels of a layout and rule.
const PanelKernel& kernel_of(Layout layout, contract::Rule rule, int64_t rows, const Work& work);

// Whether bf16 matrices of this level are for VDPBF16PS (Layout::kDotPairs).
inline bool has_bf16_dot([[maybe_unused]] const Work& work) {
#if defined(NARU_LEVEL_avx512vnni)
  return work.bf16_dot;
#else
  return false;
#endif
}

const PanelKernel& float_kernel(Layout layout);                   // matmul_float.cpp: kF32 to kDotPairs
const PanelKernel& integer_kernel(contract::Rule rule);           // matmul_integer.cpp: w8a8 and the GGUF kinds
const PanelKernel* tile_kernel(Layout layout, bool is_emulated);  // amx.cpp: null where tiles do not serve

}  // namespace naru::cpu::NARU_LEVEL
