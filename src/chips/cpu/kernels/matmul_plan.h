// The plan of a product: rows are brought into blocks in the form that the kernel of the panels reads, and the meeting
// of blocks of rows and panels of outputs is cut into tasks (matmul_run.h runs them). Shared by the products with
// packed matrices (matmul.cpp) and those of two views (view_products.cpp). Tasks share nothing that is written; which
// thread runs a task cannot change a bit.
#pragma once

#include <algorithm>
#include <cstring>
#include <vector>

#include "chips/cpu/kernels/declarations.h"
#include "chips/cpu/kernels/matmul_kernels.h"

namespace naru::cpu::NARU_LEVEL {

// Rows are taken in runs whose blocks need about this much memory.
constexpr int64_t kRunBytes = int64_t{24} << 20;
constexpr int64_t kTasksPerThread = 10;  // of the smallest size

// Rows [first, first + n) of a run in one block of `size` (index into the sizes of the form's kernels).
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
  const PanelKernel* kernel = nullptr;
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

// A group of row blocks and the panels that they meet.
struct Task {
  size_t product = 0;
  int64_t panel_begin = 0;
  int64_t panel_end = 0;
  size_t block_begin = 0;
  size_t block_end = 0;
};

// The slots of a run sorted by group, ascending inside a group: those of group g are slots[starts[g]] to
// slots[starts[g + 1] - 1].
struct SortedSlots {
  std::vector<int32_t> slots;
  std::vector<int64_t> starts;  // [groups + 2], the last one of no meaning
};

// What a run of rows does.
struct Plan {
  SortedSlots sorted;  // where rows go by groups
  std::vector<RowBlock> blocks;
  std::vector<PanelProduct> products;
  std::vector<Task> tasks;

  void clear() { blocks.clear(), products.clear(), tasks.clear(); }
};

// Full blocks of the largest size, then the smallest that takes the rest.
inline void plan_blocks(const PanelKernel& kernel, int64_t first, int64_t rows, int64_t inputs,
                        std::vector<RowBlock>& blocks) {
  const int64_t dwords = row_dwords(kernel.form, inputs);
  while (rows > 0) {
    size_t size = 0;
    while (size + 1 < kernel.sizes.size() && kernel.sizes[size].rows < rows) ++size;
    const int taken = static_cast<int>(std::min<int64_t>(rows, kernel.sizes[size].rows));
    blocks.push_back({.form = kernel.form,
                      .first = first,
                      .n = taken,
                      .size = static_cast<int>(size),
                      .rows = kernel.sizes[size].rows,
                      .dwords = dwords,
                      .x = nullptr});
    first += taken;
    rows -= taken;
  }
}

// Bytes of a block's rows in one segment of K: what stays in the cache while panels pass.
inline int64_t segment_row_bytes(const PanelKernel& kernel, const RowBlock& block) {
  const int64_t dwords = kernel.segment_dwords == 0 ? block.dwords : std::min(kernel.segment_dwords, block.dwords);
  return dwords * block.rows * 4;
}

// Cuts the products into tasks. Row blocks go in groups that stay in the second-level cache beside the panels; tasks of
// a group follow each other. They start large, so that a thread works through neighbouring panels, and get smaller
// with the work that is left, so that threads end together.
inline void plan_tasks(Plan& plan, int n_threads, int64_t row_group_bytes) {
  int64_t left = 0;
  for (const PanelProduct& product : plan.products) left += product.n_panels * product.rows * product.inputs;
  const int64_t least = left / (n_threads * kTasksPerThread);
  for (size_t p = 0; p < plan.products.size(); ++p) {
    const PanelProduct& product = plan.products[p];
    const RowBlock& block = plan.blocks[product.block_begin];
    const int64_t width = product.kernel->sizes[static_cast<size_t>(block.size)].functions[0].panels;
    const auto n_blocks = static_cast<int64_t>(product.block_end - product.block_begin);
    const int64_t n_groups = std::clamp<int64_t>(
        ceil_div(n_blocks * segment_row_bytes(*product.kernel, block), row_group_bytes), 1, n_blocks);
    for (int64_t group = 0; group < n_groups; ++group) {
      const size_t first = product.block_begin + static_cast<size_t>(n_blocks * group / n_groups);
      const size_t last = product.block_begin + static_cast<size_t>(n_blocks * (group + 1) / n_groups);
      const int64_t rows = plan.blocks[last - 1].first + plan.blocks[last - 1].n - plan.blocks[first].first;
      const int64_t panel_cost = std::max<int64_t>(1, rows * product.inputs);
      for (int64_t begin = 0; begin < product.n_panels;) {
        const int64_t cost = std::max({least, product.kernel->task_least, left / (2 * n_threads)});
        const int64_t panels = round_up(std::max<int64_t>(1, cost / panel_cost), width);
        const int64_t end = std::min(begin + panels, product.n_panels);
        plan.tasks.push_back(
            {.product = p, .panel_begin = begin, .panel_end = end, .block_begin = first, .block_end = last});
        left -= (end - begin) * panel_cost;
        begin = end;
      }
    }
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
  if (block.form.kind == RowKind::kPairTiles && !is_written) {
    const float* rows[kRowsOfBlockMax];
    for (int r = 0; r < block.n; ++r) rows[r] = static_cast<const float*>(source(block.first + r));
    return fill_tile_rows(rows, block.n, block.rows, inputs, block.x);
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

// Slots [first, first + n); `named` is i32 [slots, 1], or empty where slot i is of group i mod n_groups.
inline void sort_slots(const View& named, int64_t n_groups, int64_t first, int64_t n, SortedSlots& sorted) {
  sorted.starts.assign(static_cast<size_t>(n_groups) + 2, 0);
  sorted.slots.resize(static_cast<size_t>(n));
  const auto group_of = [&](int64_t slot) {
    const int64_t group = named.empty() ? slot % n_groups : *i32(named, slot);
    NARU_CHECK(group >= 0 && group < n_groups, group, n_groups);
    return static_cast<size_t>(group);
  };
  // starts[g + 1] is where the next slot of group g goes: at last, where those of group g + 1 begin.
  for (int64_t slot = first; slot < first + n; ++slot) ++sorted.starts[group_of(slot) + 2];
  for (size_t g = 1; g <= static_cast<size_t>(n_groups); ++g) sorted.starts[g + 1] += sorted.starts[g];
  for (int64_t slot = first; slot < first + n; ++slot) {
    sorted.slots[static_cast<size_t>(sorted.starts[group_of(slot) + 1]++)] = static_cast<int32_t>(slot);
  }
}

}  // namespace naru::cpu::NARU_LEVEL
