// The plan of a product and how it runs: rows are brought into blocks in the form that the kernel of the panels reads,
// then blocks of rows meet panels of outputs, a few panels at a time, segment by segment of K. Shared by the products
// with packed matrices (matmul.cpp) and those of two views (view_products.cpp). Tasks share nothing that is written;
// which thread runs a task cannot change a bit.
#pragma once

#include <algorithm>
#include <cstring>
#include <vector>

#include "chips/cpu/kernels/declarations.h"
#include "chips/cpu/kernels/matmul_kernels.h"
#include "chips/cpu/kernels/matmul_lanes.h"

namespace naru::cpu::NARU_LEVEL {

// Rows are taken in runs whose blocks need about this much memory.
constexpr int64_t kRunBytes = int64_t{24} << 20;
constexpr int64_t kTasksPerThread = 6;

// Rows [first, first + n) of a run in one block of `size` (index into the sizes of the form's families).
struct RowBlock {
  RowForm form;
  int64_t first = 0;
  int n = 0;
  int size = 0;
  int rows = 0;  // of the size, n of them present
  int64_t dwords = 0;
  uint32_t* x = nullptr;
};

// Panels of outputs and the row blocks that meet them: out = dot (+ bias), or out = out + dot.
struct PanelProduct {
  const Family* family = nullptr;
  const std::byte* panels = nullptr;
  int64_t panel_bytes = 0;
  int64_t n_panels = 0;
  int64_t outputs = 0;
  int64_t inputs = 0;
  const float* bias = nullptr;
  float* out = nullptr;
  int64_t out_stride = 0;
  const int32_t* slots = nullptr;  // row of `out` of each row of the run; null: the row itself
  bool is_added = false;
  size_t block_begin = 0;
  size_t block_end = 0;
  int64_t rows = 0;
};

struct Task {
  size_t product = 0;
  int64_t panel_begin = 0;
  int64_t panel_end = 0;
  size_t block_begin = 0;
  size_t block_end = 0;
};

// What a run of rows does.
struct Plan {
  std::vector<RowBlock> blocks;
  std::vector<PanelProduct> products;
  std::vector<Task> tasks;

  void clear() { blocks.clear(), products.clear(), tasks.clear(); }
};

// Full blocks of the largest size, then the smallest that takes the rest.
inline void plan_blocks(const Family& family, int64_t first, int64_t rows, int64_t inputs,
                        std::vector<RowBlock>& blocks) {
  const int64_t dwords = row_dwords(family.form, inputs);
  while (rows > 0) {
    size_t size = 0;
    while (size + 1 < family.sizes.size() && family.sizes[size].rows < rows) ++size;
    const int taken = static_cast<int>(std::min<int64_t>(rows, family.sizes[size].rows));
    blocks.push_back({.form = family.form,
                      .first = first,
                      .n = taken,
                      .size = static_cast<int>(size),
                      .rows = family.sizes[size].rows,
                      .dwords = dwords,
                      .x = nullptr});
    first += taken;
    rows -= taken;
  }
}

// Cuts the products into tasks of about equal cost, a few for each thread.
inline void plan_tasks(Plan& plan, int n_threads) {
  int64_t cost = 0;
  for (const PanelProduct& product : plan.products) cost += product.n_panels * product.rows * product.inputs;
  for (size_t p = 0; p < plan.products.size(); ++p) {
    const PanelProduct& product = plan.products[p];
    const int64_t inputs = std::max<int64_t>(1, product.inputs);
    const int64_t target = std::max<int64_t>(1, cost / (n_threads * kTasksPerThread) / inputs);
    const RowBlock& block = plan.blocks[product.block_begin];
    const int64_t width = product.family->sizes[static_cast<size_t>(block.size)].functions[0].panels;
    const int64_t panels = round_up(std::max<int64_t>(1, target / std::max<int64_t>(1, product.rows)), width);
    const int64_t n_blocks = static_cast<int64_t>(product.block_end - product.block_begin);
    const int64_t blocks = std::clamp<int64_t>(target / (panels * block.rows) + 1, 1, n_blocks);
    for (int64_t begin = 0; begin < product.n_panels; begin += panels) {
      for (size_t b = product.block_begin; b < product.block_end; b += static_cast<size_t>(blocks)) {
        plan.tasks.push_back({.product = p,
                              .panel_begin = begin,
                              .panel_end = std::min(begin + panels, product.n_panels),
                              .block_begin = b,
                              .block_end = std::min(b + static_cast<size_t>(blocks), product.block_end)});
      }
    }
  }
}

// out += value, n floats, n a multiple of 16.
inline void add_tile(const float* a, float* b, int64_t n) {
  for (int64_t i = 0; i < n; i += kLanes) v_store(b + i, v_add(v_load(a + i), v_load(b + i)));
}

// The segments of K and their aligned tree (contract/rows.h SegmentSum, a tile at a time); the sum is left in `tile`.
// `partials` holds one tile for each level of the tree.
inline void run_segments(const Family& family, SegmentFunction run, const std::byte* w, int64_t panel_bytes,
                         const std::byte* x, int64_t rows, int64_t steps, int64_t n, float* tile, float* partials) {
  uint32_t count = 0;
  for (int64_t begin = 0; begin < steps; begin += family.segment_steps) {
    run(w, panel_bytes, x, std::min(family.segment_steps, steps - begin), tile);
    w += family.segment_bytes;
    x += family.segment_dwords * rows * 4;
    int level = 0;
    for (uint32_t c = count; (c & 1u) != 0; c >>= 1) add_tile(partials + n * level++, tile, n);
    std::memcpy(partials + n * level, tile, static_cast<size_t>(n) * 4);
    ++count;
  }
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
inline void store_part(const float* from, const float* add, int64_t n, float* out) {
  alignas(64) float padded[kPanel] = {}, sum[kPanel];
  if (add != nullptr) std::memcpy(padded, add, static_cast<size_t>(n) * 4);
  for (int64_t i = 0; i < kPanel; i += kLanes) {
    const Vec value = v_add(v_load(from + i), v_zero());
    v_store(sum + i, add == nullptr ? value : v_add(v_load(padded + i), value));
  }
  std::memcpy(out, sum, static_cast<size_t>(n) * 4);
}

// `panels` whole panels of every row. kAdds: what is added lies at add(row), as far along as the outputs.
template <bool kAdds, typename AddAt>
NARU_INLINE void store_whole(const PanelProduct& product, const RowBlock& block, int64_t panel, int64_t panels,
                             int64_t tile_panels, const float* tile, const AddAt& add_at) {
  for (int r = 0; r < block.n; ++r) {
    float* out = out_row(product, block, r) + panel * kPanel;
    const float* from = tile + r * tile_panels * kPanel;
    [[maybe_unused]] const float* add = add_at(out);
    for (int64_t i = 0; i < panels * kPanel; i += kLanes) {
      Vec value = v_add(v_load(from + i), v_zero());
      if constexpr (kAdds) value = v_add(v_load(add + i), value);
      v_store(out + i, value);
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
    const float* add = product.is_added ? out : product.bias == nullptr ? nullptr : product.bias + first;
    store_part(tile + (r * panels + whole) * kPanel, add, n, out);
  }
}

constexpr int64_t kTileFloatsMax = int64_t{kRowsOfBlockMax} * kPanelsMax * kPanel;

// Tiles that run_segments needs for K inputs: one for each level of the tree, and the current one.
inline int64_t tiles_of(int64_t inputs) {
  int64_t tiles = 2;
  for (int64_t segments = ceil_div(inputs, 2048); segments > 1; segments = ceil_div(segments, 2)) ++tiles;
  return tiles + 1;
}

// One block of rows against the panels [begin, end) of a product.
inline void run_block(const PanelProduct& product, const RowBlock& block, int64_t begin, int64_t end, float* tile) {
  const Family& family = *product.family;
  const RowSize& size = family.sizes[static_cast<size_t>(block.size)];
  const int64_t steps = ceil_div(product.inputs, family.step_inputs);
  const auto* x = reinterpret_cast<const std::byte*>(block.x);
  for (int64_t panel = begin; panel < end;) {
    const PanelFunction* function = size.functions;
    while (function->panels > end - panel) ++function;
    const int64_t n = int64_t{size.rows} * function->panels * kPanel;
    const std::byte* w = product.panels + panel * product.panel_bytes;
    fetch_rows(product, block, panel, function->panels);
    if (product.inputs == 0) {
      std::memset(tile, 0, static_cast<size_t>(n) * 4);
    } else if (family.segment_steps == 0 || steps <= family.segment_steps) {
      function->run(w, product.panel_bytes, x, steps, tile);
    } else {
      run_segments(family, function->run, w, product.panel_bytes, x, size.rows, steps, n, tile, tile + kTileFloatsMax);
    }
    store_rows(product, block, panel, function->panels, tile);
    panel += function->panels;
  }
}

// Blocks of rows that together stay in the second-level cache meet all panels of the task, a few panels at a time.
inline void run_task(const Plan& plan, const Task& task, int64_t row_group_bytes, Scratch& scratch) {
  const PanelProduct& product = plan.products[task.product];
  auto* tile = reinterpret_cast<float*>(
      scratch.get(static_cast<size_t>(tiles_of(product.inputs) * kTileFloatsMax) * sizeof(float)));
  const auto& sizes = product.family->sizes;
  const int64_t width = sizes[static_cast<size_t>(plan.blocks[task.block_begin].size)].functions[0].panels;
  for (size_t first = task.block_begin; first < task.block_end;) {
    size_t last = first;
    for (int64_t bytes = 0; last < task.block_end && (last == first || bytes < row_group_bytes); ++last) {
      bytes += plan.blocks[last].dwords * plan.blocks[last].rows * 4;
    }
    for (int64_t begin = task.panel_begin; begin < task.panel_end; begin += width) {
      const int64_t end = std::min(begin + width, task.panel_end);
      for (size_t b = first; b < last; ++b) run_block(product, plan.blocks[b], begin, end, tile);
    }
    first = last;
  }
}

// Fills a block from the rows at `source(row of the run)`: written rows where `is_written`, else f32 activations.
template <typename Source>
void fill_block(const RowBlock& block, int64_t inputs, bool is_written, const Source& source, Scratch& scratch) {
  if (block.dwords == 0) return;
  if (block.rows == 1 && !is_written) {
    write_row(block.form, static_cast<const float*>(source(block.first)), inputs, block.x);
    return;
  }
  const bool is_direct = is_written || block.form.kind == RowKind::kF32;
  auto* memory = reinterpret_cast<uint32_t*>(
      scratch.get(static_cast<size_t>(block.dwords * (1 + (is_direct ? 0 : block.n))) * 4 + 64));
  if (block.n < block.rows) std::memset(memory, 0, static_cast<size_t>(block.dwords) * 4);
  const uint32_t* rows[kRowsOfBlockMax];
  for (int r = 0; r < block.rows; ++r) {
    rows[r] = memory;
    if (r >= block.n) continue;
    const void* row = source(block.first + r);
    if (is_direct) {
      rows[r] = static_cast<const uint32_t*>(row);
    } else {
      uint32_t* written = memory + (1 + r) * block.dwords;
      write_row(block.form, static_cast<const float*>(row), inputs, written);
      rows[r] = written;
    }
  }
  interleave_rows(block.form, rows, block.rows, block.dwords, block.x);
}

// Gives every block its place in shared memory, after `reserved` dwords; returns the reserved part.
inline uint32_t* place_blocks(Plan& plan, int64_t reserved, Work& work) {
  int64_t dwords = round_up(reserved, 16);
  for (const RowBlock& block : plan.blocks) dwords += round_up(block.dwords * block.rows, 16);
  auto* memory = reinterpret_cast<uint32_t*>(work.shared.get(static_cast<size_t>(dwords) * 4 + 64));
  uint32_t* next = memory + round_up(reserved, 16);
  for (RowBlock& block : plan.blocks) {
    block.x = next;
    next += round_up(block.dwords * block.rows, 16);
  }
  return memory;
}

inline void run_tasks(Plan& plan, Work& work) {
  plan_tasks(plan, work.pool.n_threads());
  work.pool.parallel_for(static_cast<int64_t>(plan.tasks.size()), [&](int64_t i, int thread) {
    run_task(plan, plan.tasks[static_cast<size_t>(i)], work.row_group_bytes, work.scratch[static_cast<size_t>(thread)]);
  });
}

// The slots of a run sorted by group, ascending inside a group.
struct SortedSlots {
  std::vector<int32_t> slots;
  std::vector<int64_t> starts;  // [groups + 1]
};

// Slots [first, first + n); `named` is i32 [slots, 1], or empty where slot i is of group i mod n_groups.
inline SortedSlots sort_slots(const View& named, int64_t n_groups, int64_t first, int64_t n) {
  SortedSlots sorted;
  sorted.starts.assign(static_cast<size_t>(n_groups) + 1, 0);
  sorted.slots.resize(static_cast<size_t>(n));
  const auto group_of = [&](int64_t slot) {
    const int64_t group = named.empty() ? slot % n_groups : *named.i32(slot);
    NARU_CHECK(group >= 0 && group < n_groups, group, n_groups);
    return static_cast<size_t>(group);
  };
  for (int64_t slot = first; slot < first + n; ++slot) ++sorted.starts[group_of(slot) + 1];
  for (size_t g = 0; g < static_cast<size_t>(n_groups); ++g) sorted.starts[g + 1] += sorted.starts[g];
  std::vector<int64_t> next(sorted.starts.begin(), sorted.starts.end() - 1);
  for (int64_t slot = first; slot < first + n; ++slot) {
    sorted.slots[static_cast<size_t>(next[group_of(slot)]++)] = static_cast<int32_t>(slot);
  }
  return sorted;
}

}  // namespace naru::cpu::NARU_LEVEL
