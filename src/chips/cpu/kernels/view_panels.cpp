// How views become panels and blocks. The pairs of rule bf16 are made of two rounded vectors, one for each half of the
// dwords, before anything is transposed.

#include "chips/cpu/kernels/view_panels.h"

#include "chips/cpu/kernels/transpose.h"
#include "contract/rows.h"

namespace naru::cpu::NARU_LEVEL {
namespace {

using contract::kBlock;

// A part of a thread's work: columns read side by side, so that whole cache lines are used, and inputs.
constexpr int64_t kPanelsPerPart = 4;
constexpr int64_t kBlocksPerPart = 4;
constexpr int64_t kInputsPerPart = 512;

// The inputs of a block of 32 in the halves of its dword i. pairs: (2i, 2i + 1), the low half first. Dot pairs: dwords
// 0..7 are the even chain, 8..15 the odd one, the high half first.
template <bool kIsDot>
NARU_INLINE int64_t low_input(int64_t i) {
  return kIsDot ? i % 8 * 4 + i / 8 + 2 : 2 * i;
}
template <bool kIsDot>
NARU_INLINE int64_t high_input(int64_t i) {
  return kIsDot ? i % 8 * 4 + i / 8 : 2 * i + 1;
}

// Columns c to c + 15 of a row of n; past the end +0, as the whole of a row that is absent.
NARU_INLINE F32x16 load_columns(const float* row, int64_t c, int64_t n) {
  if (row == nullptr || c >= n) return zero();
  return c + 16 <= n ? load(row + c) : load_first(row + c, n - c);
}

// Transposed operands: 32 inputs, of which those past the end are null.
struct Window {
  Window(const Operand& from, int64_t first, int64_t end) : n_columns(from.n), has_all(end - first >= kBlock) {
    for (int64_t i = 0; i < kBlock; ++i) {
      const int64_t k = first + i;
      rows[i] = k < end ? f32(from.view, from.rows == nullptr ? k : from.rows[k]) : nullptr;
    }
  }
  const float* rows[kBlock];
  int64_t n_columns;
  bool has_all;
};

// Dword i of columns c to c + 15.
template <bool kIsDot>
NARU_INLINE I32x16 column_pair(const Window& from, int64_t i, int64_t c) {
  const float *low = from.rows[low_input<kIsDot>(i)], *high = from.rows[high_input<kIsDot>(i)];
  if (from.has_all && c + 16 <= from.n_columns) return pair_bf16(load(low + c), load(high + c));
  return pair_bf16(load_columns(low, c, from.n_columns), load_columns(high, c, from.n_columns));
}

// ---- panels ----

NARU_INLINE std::byte* panel_of(const PanelTarget& to, int64_t panel) {
  return to.panels + (panel - to.panel_begin) * to.panel_bytes;
}

template <bool kIsRounded>
void fill_f32_from_columns(const FillPart& part) {
  const PanelTarget& to = *part.target;
  for (int64_t k = part.input_begin; k < part.input_end; ++k) {
    const float* row = f32(part.operand->view, part.operand->rows == nullptr ? k : part.operand->rows[k]);
    std::byte* at = panel_of(to, part.begin) + k * kPanel * 4;
    for (int64_t p = part.begin; p < part.end; ++p, at += to.panel_bytes) {
      const F32x16 values = load_columns(row, p * kPanel, part.operand->n);
      store(reinterpret_cast<float*>(at), kIsRounded ? round_bf16(values) : values);
    }
  }
}

template <bool kIsDot>
void fill_pairs_from_columns(const FillPart& part) {
  const PanelTarget& to = *part.target;
  for (int64_t k = part.input_begin; k < part.input_end; k += kBlock) {
    const Window window(*part.operand, k, part.input_end);
    for (int64_t i = 0; i < 16; ++i) {
      std::byte* at = panel_of(to, part.begin) + k / kBlock * 1024 + 64 * i;
      for (int64_t p = part.begin; p < part.end; ++p, at += to.panel_bytes) {
        store(at, column_pair<kIsDot>(window, i, p * kPanel));
      }
    }
  }
}

// Row `output` of an operand that is not transposed; null past the end.
NARU_INLINE const float* output_row(const Operand& from, int64_t output) {
  return output < from.n ? f32(from.view, output) : nullptr;
}

template <bool kIsRounded>
void fill_f32_from_rows(const FillPart& part) {
  const PanelTarget& to = *part.target;
  const Operand& from = *part.operand;
  for (int64_t p = part.begin; p < part.end; ++p) {
    auto* panel = reinterpret_cast<float*>(panel_of(to, p));
    for (int64_t k = part.input_begin; k < part.input_end; k += 16) {
      if (!kIsRounded && p * kPanel + kPanel <= from.n && k + 16 <= part.input_end) {
        transpose_block(f32(from.view, p * kPanel) + k, from.view.row_stride, panel + k * kPanel, kPanel);
        continue;
      }
      alignas(64) float rows[16 * 16], columns[16 * 16];
      for (int64_t lane = 0; lane < kPanel; ++lane) {
        const F32x16 values = load_columns(output_row(from, p * kPanel + lane), k, from.inputs);
        store(rows + 16 * lane, kIsRounded ? round_bf16(values) : values);
      }
      transpose_block(rows, 16, columns, 16);
      const int64_t n = std::min<int64_t>(16, part.input_end - k);
      std::memcpy(panel + k * kPanel, columns, static_cast<size_t>(n) * kPanel * 4);
    }
  }
}

// The 16 dwords of a block of 32 inputs of one row.
template <bool kIsDot>
NARU_INLINE F32x16 row_pairs(const float* row, int64_t k, int64_t inputs) {
  F32x16 even, odd;
  deinterleave(load_columns(row, k, inputs), load_columns(row, k + 16, inputs), even, odd);
  if constexpr (!kIsDot) return as_f32(pair_bf16(even, odd));
  F32x16 high, low;
  deinterleave(even, odd, high, low);
  return as_f32(pair_bf16(low, high));
}

template <bool kIsDot>
void fill_pairs_from_rows(const FillPart& part) {
  const PanelTarget& to = *part.target;
  const Operand& from = *part.operand;
  alignas(64) float rows[16 * 16];
  for (int64_t p = part.begin; p < part.end; ++p) {
    std::byte* panel = panel_of(to, p);
    for (int64_t k = part.input_begin; k < part.input_end; k += kBlock) {
      for (int64_t lane = 0; lane < kPanel; ++lane) {
        store(rows + 16 * lane, row_pairs<kIsDot>(output_row(from, p * kPanel + lane), k, from.inputs));
      }
      transpose_block(rows, 16, reinterpret_cast<float*>(panel + k / kBlock * 1024), 16);
    }
  }
}

void fill_panels(const FillPart& part) {
  const bool is_columns = part.operand->is_transposed;
  switch (part.target->layout) {
    case Layout::kF32:
      if (part.target->is_rounded_first) {
        return is_columns ? fill_f32_from_columns<true>(part) : fill_f32_from_rows<true>(part);
      }
      return is_columns ? fill_f32_from_columns<false>(part) : fill_f32_from_rows<false>(part);
    case Layout::kPairs: return is_columns ? fill_pairs_from_columns<false>(part) : fill_pairs_from_rows<false>(part);
    case Layout::kDotPairs: return is_columns ? fill_pairs_from_columns<true>(part) : fill_pairs_from_rows<true>(part);
    default: NARU_CHECK(false, "no layout for f32 values:", static_cast<int>(part.target->layout));
  }
}

// ---- blocks of rows, from columns ----

// The first R lanes.
template <int R>
NARU_INLINE void store_rows_of_unit(uint32_t* to, F32x16 x) {
#if defined(NARU_LANES_512)
  store_first(reinterpret_cast<float*>(to), x, R);
#else
  alignas(64) float lanes[16];
  store(lanes, x);
  std::memcpy(to, lanes, R * 4);
#endif
}

// The inputs of a window, k and on, in one block of a form whose unit is a dword.
template <int R>
void fill_block_columns(const Window& from, const RowBlock& block, int64_t k) {
  const int64_t c = block.first;
  if (block.form.kind == RowKind::kDot) {
    uint32_t* to = block.x + k / 2 * R;
    for (int64_t i = 0; i < 16; ++i) store_rows_of_unit<R>(to + i * R, as_f32(column_pair<true>(from, i, c)));
    return;
  }
  uint32_t* to = block.x + k * R;
  if (block.form.kind == RowKind::kSplit) {
    for (int64_t i = 0; i < kBlock; ++i) {
      const F32x16 values = load_columns(from.rows[i % 16 * 2 + i / 16], c, from.n_columns);
      store_rows_of_unit<R>(to + i * R, round_bf16(values));
    }
    return;
  }
  for (int64_t i = 0; i < kBlock && from.rows[i] != nullptr; ++i) {
    store_rows_of_unit<R>(to + i * R, load_columns(from.rows[i], c, from.n_columns));
  }
}

// The same for tiles: units of 16 dwords a row.
void fill_tile_columns(const Window& from, const RowBlock& block, int64_t k) {
  alignas(64) float pairs[16 * 16];
  for (int64_t r = 0; r < block.rows; r += 16) {
    for (int64_t i = 0; i < 16; ++i) store(pairs + 16 * i, column_pair<false>(from, i, block.first + r));
    transpose_block(pairs, 16, reinterpret_cast<float*>(block.x + (k / kBlock * block.rows + r) * 16), 16);
  }
}

void fill_from_columns(const Window& from, const RowBlock& block, int64_t k) {
  if (block.form.kind == RowKind::kPairTiles) return fill_tile_columns(from, block, k);
  switch (block.rows) {
    case 1: return fill_block_columns<1>(from, block, k);
    case 2: return fill_block_columns<2>(from, block, k);
    case 4: return fill_block_columns<4>(from, block, k);
    case 6: return fill_block_columns<6>(from, block, k);
    case 8: return fill_block_columns<8>(from, block, k);
    case 14: return fill_block_columns<14>(from, block, k);
    default: NARU_CHECK(false, "no kernel takes this many rows:", block.rows);
  }
}

void fill_blocks(const FillPart& part, Scratch& scratch) {
  const Operand& from = *part.operand;
  if (!from.is_transposed) {
    for (int64_t b = part.begin; b < part.end; ++b) {
      fill_block(
          part.blocks[b], from.inputs, false,
          [&](int64_t row) { return static_cast<const void*>(f32(from.view, row)); }, scratch);
    }
    return;
  }
  // A few inputs at a time, so that blocks side by side find the cache lines that they share.
  for (int64_t k = part.input_begin; k < part.input_end; k += kBlock) {
    const Window window(from, k, part.input_end);
    for (int64_t b = part.begin; b < part.end; ++b) fill_from_columns(window, part.blocks[b], k);
  }
}

}  // namespace

void fill_tile_rows(const float* const* rows, int n, int n_rows, int64_t inputs, uint32_t* out) {
  const int64_t blocks = ceil_div(inputs, kBlock);
  for (int r = 0; r < n_rows; ++r) {
    const float* row = r < n ? rows[r] : nullptr;
    for (int64_t block = 0; block < blocks; ++block) {
      const F32x16 pairs = row_pairs<false>(row, block * kBlock, inputs);
      store(reinterpret_cast<float*>(out + (block * n_rows + r) * 16), pairs);
    }
  }
}

void add_panel_parts(const Operand& operand, const PanelTarget& target, std::vector<FillPart>& parts) {
  for (int64_t k = 0; k < operand.inputs; k += kInputsPerPart) {
    const int64_t end = std::min(k + kInputsPerPart, operand.inputs);
    for (int64_t p = target.panel_begin; p < target.panel_end; p += kPanelsPerPart) {
      parts.push_back({.operand = &operand,
                       .target = &target,
                       .begin = p,
                       .end = std::min(p + kPanelsPerPart, target.panel_end),
                       .input_begin = k,
                       .input_end = end});
    }
  }
}

void add_block_parts(const Operand& operand, const RowBlock* blocks, int64_t n_blocks, std::vector<FillPart>& parts) {
  const int64_t inputs = operand.is_transposed ? kInputsPerPart : std::max<int64_t>(1, operand.inputs);
  const int64_t step = operand.is_transposed ? kBlocksPerPart : 1;
  for (int64_t k = 0; k < operand.inputs; k += inputs) {
    for (int64_t b = 0; b < n_blocks; b += step) {
      parts.push_back({.operand = &operand,
                       .blocks = blocks,
                       .begin = b,
                       .end = std::min(b + step, n_blocks),
                       .input_begin = k,
                       .input_end = std::min(k + inputs, operand.inputs)});
    }
  }
}

void run_parts(const std::vector<FillPart>& parts, Work& work) {
  work.pool.parallel_for(static_cast<int64_t>(parts.size()), [&](int64_t i, int thread) {
    const FillPart& part = parts[static_cast<size_t>(i)];
    if (part.target != nullptr) {
      fill_panels(part);
    } else {
      fill_blocks(part, work.scratch[static_cast<size_t>(thread)]);
    }
  });
}

}  // namespace naru::cpu::NARU_LEVEL
