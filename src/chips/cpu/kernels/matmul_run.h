// How the tasks of a plan run: the panels of a task pass the blocks of its row group, a few panels at a time, segment
// by segment of K; finished rows of outputs go to their places.
#pragma once

#include <algorithm>
#include <bit>
#include <cstring>
#include <span>

#include "chips/cpu/kernels/matmul_plan.h"
#include "chips/cpu/kernels/simd.h"

namespace naru::cpu::NARU_LEVEL {

// out += value, n floats, n a multiple of 16.
inline void add_tile(const float* a, float* b, int64_t n) {
  for (int64_t i = 0; i < n; i += kLanes) store(b + i, add(load<F32xN>(a + i), load<F32xN>(b + i)));
}

// The aligned tree over segments (contract/rows.h SegmentSum, a tile at a time): takes in the tile of segment `index`.
// `partials` holds one tile of n floats for each level.
inline void add_segment(uint32_t index, int64_t n, float* tile, float* partials) {
  int level = 0;
  for (uint32_t c = index; (c & 1u) != 0; c >>= 1) add_tile(partials + n * level++, tile, n);
  std::memcpy(partials + n * level, tile, static_cast<size_t>(n) * 4);
}

// The sum of `count` segments, left in `tile`.
inline void sum_segments(uint32_t count, int64_t n, const float* partials, float* tile) {
  bool is_first = true;
  for (int level = 0; count >> level != 0; ++level) {
    if ((count >> level & 1u) == 0) continue;
    if (is_first) {
      std::memcpy(tile, partials + n * level, static_cast<size_t>(n) * 4);
    } else {
      add_tile(partials + n * level, tile, n);
    }
    is_first = false;
  }
}

// Where row r of a block lies in the product's output.
NARU_INLINE float* out_row(const PanelProduct& product, const RowBlock& block, int r) {
  const int64_t row = block.first + r;
  return product.out + (product.slots == nullptr ? row : product.slots[row]) * product.out_stride;
}

// Rows of outputs lie far apart: the caches are asked for them while the product is computed.
inline void fetch_rows(const PanelProduct& product, const RowBlock& block, int64_t panel, int64_t panels) {
  for (int r = 0; r < block.n; ++r) {
    const float* out = out_row(product, block, r) + panel * kPanel;
    for (int64_t p = 0; p < panels; ++p) __builtin_prefetch(out + p * kPanel, 1, 3);
  }
}

// The last panel of a matrix whose outputs do not fill it.
inline void store_part(const float* from, const float* added, int64_t n, float* out) {
  alignas(64) float padded[kPanel] = {}, sum[kPanel];
  if (added != nullptr) std::memcpy(padded, added, static_cast<size_t>(n) * 4);
  for (int64_t i = 0; i < kPanel; i += kLanes) {
    const F32xN value = add(load<F32xN>(from + i), zero<F32xN>());
    store(sum + i, added == nullptr ? value : add(load<F32xN>(padded + i), value));
  }
  std::memcpy(out, sum, static_cast<size_t>(n) * 4);
}

// `panels` whole panels of every row. kAdds: what is added lies at added_at(row), as far along as the outputs.
template <bool kAdds, typename AddedAt>
NARU_INLINE void store_whole(const PanelProduct& product, const RowBlock& block, int64_t panel, int64_t panels,
                             int64_t tile_panels, const float* tile, const AddedAt& added_at) {
  for (int r = 0; r < block.n; ++r) {
    float* out = out_row(product, block, r) + panel * kPanel;
    const float* from = tile + r * tile_panels * kPanel;
    [[maybe_unused]] const float* added = added_at(out);
    for (int64_t i = 0; i < panels * kPanel; i += kLanes) {
      F32xN value = add(load<F32xN>(from + i), zero<F32xN>());
      if constexpr (kAdds) value = add(load<F32xN>(added + i), value);
      store(out + i, value);
    }
  }
}

// The final + (+0), the bias or the sum so far, and the rows of the tile [rows][panels][16] to their places.
inline void store_rows(const PanelProduct& product, const RowBlock& block, int64_t panel, int64_t panels,
                       const float* tile) {
  const int64_t whole = std::min(panels, product.outputs / kPanel - panel);
  if (product.is_added) {
    store_whole<true>(product, block, panel, whole, panels, tile, [](const float* out) { return out; });
  } else if (product.bias != nullptr) {
    const float* bias = product.bias + panel * kPanel;
    store_whole<true>(product, block, panel, whole, panels, tile, [bias](const float*) { return bias; });
  } else {
    store_whole<false>(product, block, panel, whole, panels, tile, [](const float* out) { return out; });
  }
  if (whole == panels) return;
  const int64_t first = (panel + whole) * kPanel, n = product.outputs - first;
  for (int r = 0; r < block.n; ++r) {
    float* out = out_row(product, block, r) + first;
    const float* added = product.is_added ? out : product.bias == nullptr ? nullptr : product.bias + first;
    store_part(tile + (r * panels + whole) * kPanel, added, n, out);
  }
}

constexpr int64_t kTileFloatsMax = int64_t{kRowsOfBlockMax} * kPanelsMax * kPanel;

// Floats that the unfinished sums of a pass over several segments may take, so that they stay in the cache.
constexpr int64_t kPartialFloats = int64_t{64} << 10;

// The segments of a product.
struct Segments {
  int64_t n = 1;
  int64_t steps = 0;  // of all
  int64_t steps_each = 0;
  int levels = 0;  // of the tree, where there are several

  explicit Segments(const PanelProduct& product)
      : steps(ceil_div(product.inputs, product.kernel->step_inputs)), steps_each(product.kernel->segment_steps) {
    if (steps_each == 0) steps_each = std::max<int64_t>(1, steps);
    n = std::max<int64_t>(1, ceil_div(steps, steps_each));
    levels = n == 1 ? 0 : std::bit_width(static_cast<uint64_t>(n));
  }
};

// Panels [begin, end) of a product.
struct PanelRange {
  int64_t begin = 0;
  int64_t end = 0;
};

// Whether the kernel may write a block's rows of whole panels where they belong.
inline bool is_written_in_place(const PanelProduct& product, const RowBlock& block, int64_t n_segments) {
  return n_segments == 1 && block.n == block.rows && product.inputs > 0 && !product.is_added &&
         product.bias == nullptr && product.slots == nullptr;
}

// One segment of one block against a few panels. `ahead`: panels that come next (SegmentFunction).
inline void run_block(const PanelProduct& product, const RowBlock& block, const Segments& segments, int64_t segment,
                      PanelRange range, const std::byte* ahead, float* partials, float* tile) {
  const PanelKernel& kernel = *product.kernel;
  const RowSize& size = kernel.sizes[static_cast<size_t>(block.size)];
  const std::byte* x = reinterpret_cast<const std::byte*>(block.x) + segment * kernel.segment_dwords * size.rows * 4;
  const int64_t steps = std::min(segments.steps_each, segments.steps - segment * segments.steps_each);
  const bool is_in_place = is_written_in_place(product, block, segments.n);
  for (int64_t panel = range.begin; panel < range.end;) {
    const PanelFunction* function = size.functions;
    while (function->panels > range.end - panel) ++function;
    const int64_t n = int64_t{size.rows} * function->panels * kPanel;
    const std::byte* w = product.panels + panel * product.panel_bytes + segment * kernel.segment_bytes;
    const std::byte* after = ahead == nullptr ? w : ahead + (panel - range.begin) * product.panel_bytes;
    const bool is_last = segment + 1 == segments.n;
    if (is_last) fetch_rows(product, block, panel, function->panels);
    if (is_in_place && function->run_rows != nullptr && (panel + function->panels) * kPanel <= product.outputs) {
      function->run_rows(w, product.panel_bytes, x, steps, after, out_row(product, block, 0) + panel * kPanel,
                         product.out_stride);
      panel += function->panels;
      continue;
    }
    if (product.inputs == 0) {
      std::memset(tile, 0, static_cast<size_t>(n) * 4);
    } else {
      function->run(w, product.panel_bytes, x, steps, after, tile);
    }
    if (segments.n > 1) {
      add_segment(static_cast<uint32_t>(segment), n, tile, partials);
      if (is_last) sum_segments(static_cast<uint32_t>(segments.n), n, partials, tile);
      partials += n * segments.levels;
    }
    if (is_last) store_rows(product, block, panel, function->panels, tile);
    panel += function->panels;
  }
}

// All segments of a group of row blocks against panels, `width` at a time. The blocks of one segment stay in the cache
// while the panels pass; each of the first kAheadBlocks asks for its part of the panels that follow.
inline void run_pass(const PanelProduct& product, std::span<const RowBlock> blocks, const Segments& segments,
                     PanelRange range, int64_t width, float* partials, float* tile) {
  const int64_t segment_bytes = segments.n == 1 ? product.panel_bytes : product.kernel->segment_bytes;
  const int64_t share = segment_bytes / kAheadBlocks / 64 * 64;
  const auto panel_at = [&](int64_t panel, int64_t segment) {
    return product.panels + panel * product.panel_bytes + segment * product.kernel->segment_bytes;
  };
  for (int64_t segment = 0; segment < segments.n; ++segment) {
    float* next_partials = partials;
    for (int64_t begin = range.begin; begin < range.end; begin += width) {
      const PanelRange set{.begin = begin, .end = std::min(begin + width, range.end)};
      const std::byte* ahead = set.end < range.end            ? panel_at(set.end, segment)
                               : segment + 1 < segments.n     ? panel_at(range.begin, segment + 1)
                               : range.end < product.n_panels ? panel_at(range.end, 0)
                                                              : nullptr;
      for (const RowBlock& block : blocks) {
        const auto index = &block - blocks.data();
        run_block(product, block, segments, segment, set,
                  ahead == nullptr || index >= kAheadBlocks ? nullptr : ahead + index * share, next_partials, tile);
        next_partials += (set.end - set.begin) * kPanel * block.rows * segments.levels;
      }
    }
  }
}

// Panels that a block meets in one go, a multiple of what its widest function takes: as many as stay in the nearest
// cache beside the block, which then reads the block once for all of them.
inline int64_t panels_of_pass(const PanelProduct& product, const RowBlock& block) {
  const PanelKernel& kernel = *product.kernel;
  const int64_t width = kernel.sizes[static_cast<size_t>(block.size)].functions[0].panels;
  const int64_t left = kernel.pass_bytes - block.dwords * block.rows * 4;
  return std::max<int64_t>(1, left / std::max<int64_t>(1, product.panel_bytes * width)) * width;
}

inline void run_task(const Plan& plan, const Task& task, Scratch& scratch) {
  const PanelProduct& product = plan.products[task.product];
  const std::span<const RowBlock> blocks =
      std::span(plan.blocks).subspan(task.block_begin, task.block_end - task.block_begin);
  const int64_t width = panels_of_pass(product, blocks[0]);
  const Segments segments(product);
  int64_t rows = 0;
  for (const RowBlock& block : blocks) rows += block.rows;
  // A single block reads each panel once: whole panels then, one after the other.
  int64_t panels = task.panel_end - task.panel_begin;
  if (segments.n > 1) {
    const int64_t fitting = blocks.size() == 1 ? width : kPartialFloats / (rows * kPanel * segments.levels);
    panels = std::min(round_up(panels, width), std::max(width, fitting / width * width));
  }
  auto* tile = reinterpret_cast<float*>(
      scratch.get(static_cast<size_t>(kTileFloatsMax + panels * rows * kPanel * segments.levels) * sizeof(float)));
  for (int64_t begin = task.panel_begin; begin < task.panel_end; begin += panels) {
    const PanelRange range{.begin = begin, .end = std::min(begin + panels, task.panel_end)};
    run_pass(product, blocks, segments, range, width, tile + kTileFloatsMax, tile);
  }
}

inline void run_tasks(Plan& plan, Work& work) {
  plan_tasks(plan, work.pool.n_threads(), work.row_group_bytes);
  work.pool.parallel_for(static_cast<int64_t>(plan.tasks.size()), [&](int64_t i, int thread) {
    run_task(plan, plan.tasks[static_cast<size_t>(i)], work.scratch[static_cast<size_t>(thread)]);
  });
}

}  // namespace naru::cpu::NARU_LEVEL
