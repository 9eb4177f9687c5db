// Matmul and GroupedMatmul: rows of activations are brought into blocks in the form that the kernel of the matrix
// reads, then blocks of rows meet panels of outputs, a few panels at a time. Tasks share nothing that is written; which
// thread runs a task cannot change a bit.

#include <algorithm>
#include <cstring>
#include <vector>

#include "chips/cpu/kernels/declarations.h"
#include "chips/cpu/kernels/matmul_kernels.h"
#include "chips/cpu/kernels/matmul_lanes.h"

namespace naru::cpu::NARU_LEVEL {
namespace {

// Rows are taken in runs whose blocks need about this much memory.
constexpr int64_t kRunBytes = int64_t{24} << 20;
// Rows that meet panels again and again should stay in the second-level cache, beside the panels.
constexpr int64_t kRowGroupBytes = int64_t{384} << 10;
constexpr int64_t kTasksPerThread = 6;
constexpr int64_t kTileRowsMin = 8;  // fewer rows go by vectors, not by tiles

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

// One matrix and the row blocks that meet it.
struct Product {
  const CpuMatrix* matrix = nullptr;
  const Family* family = nullptr;
  int64_t group = 0;
  const float* bias = nullptr;
  float* out = nullptr;
  int64_t out_stride = 0;
  const int32_t* slots = nullptr;  // row of `out` of each row of the run; null: the row itself
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

// What a run of rows does; kept by the thread that issues ops, so that decoding allocates nothing.
struct Plan {
  std::vector<RowBlock> blocks;
  std::vector<Product> products;
  std::vector<Task> tasks;

  void clear() { blocks.clear(), products.clear(), tasks.clear(); }
};

// Full blocks of the largest size, then the smallest that takes the rest.
void plan_blocks(const Family& family, int64_t first, int64_t rows, int64_t inputs, std::vector<RowBlock>& blocks) {
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
void plan_tasks(Plan& plan, int n_threads) {
  int64_t cost = 0;
  for (const Product& product : plan.products) cost += product.matrix->panels * product.rows;
  const int64_t target = std::max<int64_t>(1, cost / (n_threads * kTasksPerThread));
  for (size_t p = 0; p < plan.products.size(); ++p) {
    const Product& product = plan.products[p];
    const RowBlock& block = plan.blocks[product.block_begin];
    const int64_t width = product.family->sizes[static_cast<size_t>(block.size)].functions[0].panels;
    const int64_t panels = round_up(std::max<int64_t>(1, target / std::max<int64_t>(1, product.rows)), width);
    const int64_t n_blocks = static_cast<int64_t>(product.block_end - product.block_begin);
    const int64_t blocks = std::clamp<int64_t>(target / (panels * block.rows) + 1, 1, n_blocks);
    for (int64_t begin = 0; begin < product.matrix->panels; begin += panels) {
      for (size_t b = product.block_begin; b < product.block_end; b += static_cast<size_t>(blocks)) {
        plan.tasks.push_back({.product = p,
                              .panel_begin = begin,
                              .panel_end = std::min(begin + panels, product.matrix->panels),
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
void run_segments(const Family& family, SegmentFunction run, const std::byte* w, int64_t panel_bytes,
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

// The final + (+0), the bias, and the rows of the tile [rows][panels][16] to their places.
void store_rows(const Product& product, const RowBlock& block, int64_t panel, int64_t panels, const float* tile) {
  const int64_t outputs = product.matrix->outputs;
  for (int r = 0; r < block.n; ++r) {
    const int64_t row = block.first + r;
    float* out = product.out + (product.slots == nullptr ? row : product.slots[row]) * product.out_stride;
    for (int64_t p = 0; p < panels; ++p) {
      const int64_t first = (panel + p) * kPanel;
      const int64_t n = std::min(kPanel, outputs - first);
      alignas(64) float rest[kPanel] = {};
      alignas(64) float bias[kPanel] = {};
      const float* from = tile + (r * panels + p) * kPanel;
      float* to = n == kPanel ? out + first : rest;
      const float* add = product.bias == nullptr ? nullptr : product.bias + first;
      if (add != nullptr && n != kPanel) {
        std::memcpy(bias, add, static_cast<size_t>(n) * 4);
        add = bias;
      }
      for (int64_t i = 0; i < kPanel; i += kLanes) {
        Vec value = v_add(v_load(from + i), v_zero());
        if (add != nullptr) value = v_add(value, v_load(add + i));
        v_store(to + i, value);
      }
      if (n != kPanel) std::memcpy(out + first, rest, static_cast<size_t>(n) * 4);
    }
  }
}

constexpr int64_t kTileFloatsMax = int64_t{kRowsOfBlockMax} * kPanelsMax * kPanel;

// Tiles that run_segments needs for K inputs: one for each level of the tree, and the current one.
int64_t tiles_of(int64_t inputs) {
  int64_t tiles = 2;
  for (int64_t segments = ceil_div(inputs, 2048); segments > 1; segments = ceil_div(segments, 2)) ++tiles;
  return tiles + 1;
}

// One block of rows against the panels [begin, end) of a product.
void run_block(const Product& product, const RowBlock& block, int64_t begin, int64_t end, float* tile) {
  const CpuMatrix& matrix = *product.matrix;
  const Family& family = *product.family;
  const RowSize& size = family.sizes[static_cast<size_t>(block.size)];
  const int64_t steps = ceil_div(matrix.inputs, family.step_inputs);
  const auto* x = reinterpret_cast<const std::byte*>(block.x);
  for (int64_t panel = begin; panel < end;) {
    const PanelFunction* function = size.functions;
    while (function->panels > end - panel) ++function;
    const int64_t n = int64_t{size.rows} * function->panels * kPanel;
    const std::byte* w = matrix.panel(product.group, panel);
    if (matrix.inputs == 0) {
      std::memset(tile, 0, static_cast<size_t>(n) * 4);
    } else if (family.segment_steps == 0 || steps <= family.segment_steps) {
      function->run(w, matrix.panel_bytes, x, steps, tile);
    } else {
      run_segments(family, function->run, w, matrix.panel_bytes, x, size.rows, steps, n, tile, tile + kTileFloatsMax);
    }
    store_rows(product, block, panel, function->panels, tile);
    panel += function->panels;
  }
}

// Blocks of rows that together stay in the second-level cache meet all panels of the task, a few panels at a time.
void run_task(const Plan& plan, const Task& task, Scratch& scratch) {
  const Product& product = plan.products[task.product];
  auto* tile = reinterpret_cast<float*>(
      scratch.get(static_cast<size_t>(tiles_of(product.matrix->inputs) * kTileFloatsMax) * sizeof(float)));
  const auto& sizes = product.family->sizes;
  const int64_t width = sizes[static_cast<size_t>(plan.blocks[task.block_begin].size)].functions[0].panels;
  for (size_t first = task.block_begin; first < task.block_end;) {
    size_t last = first;
    for (int64_t bytes = 0; last < task.block_end && (last == first || bytes < kRowGroupBytes); ++last) {
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
uint32_t* place_blocks(Plan& plan, int64_t reserved, Work& work) {
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

void run_tasks(Plan& plan, Work& work) {
  plan_tasks(plan, work.pool.n_threads());
  work.pool.parallel_for(static_cast<int64_t>(plan.tasks.size()), [&](int64_t i, int thread) {
    run_task(plan, plan.tasks[static_cast<size_t>(i)], work.scratch[static_cast<size_t>(thread)]);
  });
}

Plan& plan_of_thread() {
  static thread_local Plan plan;
  plan.clear();
  return plan;
}

// Rows [first, first + rows) of the op.
void run_matmul_rows(const contract::Matmul& op, int64_t first, int64_t rows, Work& work) {
  Plan& plan = plan_of_thread();
  const int64_t inputs = op.x.cols;
  for (int i = 0; i < op.n_targets; ++i) {
    const contract::MatmulTarget& target = op.targets[i];
    const auto& matrix = static_cast<const CpuMatrix&>(*target.weight);
    const Family& family = family_of(matrix, rows, work);
    Product product{.matrix = &matrix,
                    .family = &family,
                    .bias = target.bias.empty() ? nullptr : target.bias.f32(),
                    .out = target.out.f32(first),
                    .out_stride = target.out.row_stride,
                    .rows = rows};
    const auto same = std::find_if(plan.products.begin(), plan.products.end(),
                                   [&](const Product& other) { return other.family->form == family.form; });
    if (same != plan.products.end()) {
      product.block_begin = same->block_begin;
    } else {
      product.block_begin = plan.blocks.size();
      plan_blocks(family, 0, rows, inputs, plan.blocks);
    }
    product.block_end = same != plan.products.end() ? same->block_end : plan.blocks.size();
    plan.products.push_back(product);
  }
  place_blocks(plan, 0, work);
  work.pool.parallel_for(static_cast<int64_t>(plan.blocks.size()), [&](int64_t i, int thread) {
    fill_block(
        plan.blocks[static_cast<size_t>(i)], inputs, false,
        [&](int64_t row) { return static_cast<const void*>(op.x.f32(first + row)); },
        work.scratch[static_cast<size_t>(thread)]);
  });
  run_tasks(plan, work);
}

// The slots of a run sorted by group, ascending inside a group.
struct SortedSlots {
  std::vector<int32_t> slots;
  std::vector<int64_t> starts;  // [groups + 1]
};

SortedSlots sort_slots(const contract::GroupedMatmul& op, int64_t groups, int64_t first, int64_t n) {
  SortedSlots sorted;
  sorted.starts.assign(static_cast<size_t>(groups) + 1, 0);
  sorted.slots.resize(static_cast<size_t>(n));
  const auto group_of = [&](int64_t slot) {
    const int64_t group = op.groups.empty() ? slot % groups : *op.groups.i32(slot);
    NARU_CHECK(group >= 0 && group < groups, group, groups);
    return static_cast<size_t>(group);
  };
  for (int64_t slot = first; slot < first + n; ++slot) ++sorted.starts[group_of(slot) + 1];
  for (size_t g = 0; g < static_cast<size_t>(groups); ++g) sorted.starts[g + 1] += sorted.starts[g];
  std::vector<int64_t> next(sorted.starts.begin(), sorted.starts.end() - 1);
  for (int64_t slot = first; slot < first + n; ++slot) {
    sorted.slots[static_cast<size_t>(next[group_of(slot)]++)] = static_cast<int32_t>(slot);
  }
  return sorted;
}

// Slots [first, first + n) of the op; first is a multiple of rows_share.
void run_grouped_slots(const contract::GroupedMatmul& op, int64_t first, int64_t n, Work& work) {
  const auto& matrix = static_cast<const CpuMatrix&>(*op.weight);
  const SortedSlots sorted = sort_slots(op, matrix.groups, first, n);
  Plan& plan = plan_of_thread();
  std::vector<RowForm> forms;
  for (int64_t group = 0; group < matrix.groups; ++group) {
    const int64_t begin = sorted.starts[static_cast<size_t>(group)];
    const int64_t rows = sorted.starts[static_cast<size_t>(group) + 1] - begin;
    if (rows == 0) continue;
    const Family& family = family_of(matrix, rows, work);
    const size_t block_begin = plan.blocks.size();
    plan_blocks(family, begin, rows, matrix.inputs, plan.blocks);
    plan.products.push_back({.matrix = &matrix,
                             .family = &family,
                             .group = group,
                             .out = op.out.f32(),
                             .out_stride = op.out.row_stride,
                             .slots = sorted.slots.data(),
                             .block_begin = block_begin,
                             .block_end = plan.blocks.size(),
                             .rows = rows});
    if (std::find(forms.begin(), forms.end(), family.form) == forms.end()) forms.push_back(family.form);
  }
  // Rows that several slots share are brought into each form once.
  const bool is_written = op.rows_share > 1 && matrix.layout != Layout::kF32 && matrix.layout != Layout::kF16 &&
                          matrix.layout != Layout::kBF16;
  const int64_t row_begin = first / op.rows_share;
  const int64_t n_rows = ceil_div(first + n, op.rows_share) - row_begin;
  int64_t reserved = 0;
  for (const RowForm& form : forms) reserved += is_written ? n_rows * row_dwords(form, matrix.inputs) : 0;
  uint32_t* written = place_blocks(plan, reserved, work);
  std::vector<uint32_t*> rows_of_form;
  for (const RowForm& form : forms) {
    if (!is_written) break;
    const int64_t dwords = row_dwords(form, matrix.inputs);
    rows_of_form.push_back(written);
    work.pool.parallel_for(
        n_rows, [&](int64_t i, int) { write_row(form, op.x.f32(row_begin + i), matrix.inputs, written + i * dwords); });
    written += n_rows * dwords;
  }
  work.pool.parallel_for(static_cast<int64_t>(plan.blocks.size()), [&](int64_t i, int thread) {
    const RowBlock& block = plan.blocks[static_cast<size_t>(i)];
    const auto form = static_cast<size_t>(std::find(forms.begin(), forms.end(), block.form) - forms.begin());
    const auto source = [&](int64_t index) -> const void* {
      const int64_t row = sorted.slots[static_cast<size_t>(index)] / op.rows_share;
      if (is_written) return rows_of_form[form] + (row - row_begin) * block.dwords;
      return op.x.f32(row);
    };
    fill_block(block, matrix.inputs, is_written, source, work.scratch[static_cast<size_t>(thread)]);
  });
  run_tasks(plan, work);
}

}  // namespace

const Family& family_of(const CpuMatrix& matrix, int64_t rows, const Work& work) {
  if (rows >= kTileRowsMin) {
    const Family* tiles = tile_family(matrix.layout, work.emulate_tiles);
    if (tiles != nullptr) return *tiles;
  }
  if (contract::has_integer_activations(matrix.rule)) return integer_family(matrix.rule);
  return float_family(matrix.layout);
}

Status matmul(const contract::Matmul& op, Work& work, std::string_view* kernel) {
  const int64_t run = std::max<int64_t>(kRunBytes / (4 * std::max<int64_t>(1, op.x.cols)), 64);
  *kernel = family_of(static_cast<const CpuMatrix&>(*op.targets[0].weight), op.x.rows, work).name;
  const int64_t n_runs = ceil_div(op.x.rows, run);
  for (int64_t i = 0; i < n_runs; ++i) {
    const int64_t first = op.x.rows * i / n_runs, end = op.x.rows * (i + 1) / n_runs;
    run_matmul_rows(op, first, end - first, work);
  }
  return {};
}

Status grouped_matmul(const contract::GroupedMatmul& op, Work& work, std::string_view* kernel) {
  const auto& matrix = static_cast<const CpuMatrix&>(*op.weight);
  const int64_t slots = op.out.rows;
  *kernel = family_of(matrix, ceil_div(slots, std::max<int64_t>(1, matrix.groups)), work).name;
  const int64_t rows = std::max<int64_t>(2 * kRunBytes / (4 * std::max<int64_t>(1, matrix.inputs) * op.rows_share), 64);
  const int64_t run = rows * op.rows_share;
  for (int64_t first = 0; first < slots; first += run) {
    run_grouped_slots(op, first, std::min(run, slots - first), work);
  }
  return {};
}

}  // namespace naru::cpu::NARU_LEVEL
