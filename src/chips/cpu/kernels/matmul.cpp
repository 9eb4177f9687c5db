// Matmul and GroupedMatmul: rows of activations meet the panels of packed matrices (matmul_plan.h, matmul_run.h).

#include <algorithm>
#include <vector>

#include "chips/cpu/kernels/matmul_run.h"
#include "chips/cpu/kernels/row_loops.h"

namespace naru::cpu::NARU_LEVEL {
namespace {

constexpr int64_t kTileRowsMin = 8;  // fewer rows go by vectors, not by tiles

// Kept by the thread that issues ops, so that decoding allocates nothing.
Plan& plan_of_thread() {
  static thread_local Plan plan;
  plan.clear();
  return plan;
}

// `rows` rows against one group of a matrix; where they come from and go to is left open.
PanelProduct product_of(const CpuMatrix& matrix, int64_t group, const PanelKernel& kernel, int64_t rows) {
  return {.kernel = &kernel,
          .panels = matrix.panel(group, 0),
          .panel_bytes = matrix.panel_bytes,
          .n_panels = matrix.panels,
          .outputs = matrix.outputs,
          .inputs = matrix.inputs,
          .rows = rows};
}

// Gives a product the blocks of rows [first, first + product.rows): those that a product since `since` has in the same
// form, or new ones.
void give_blocks(Plan& plan, size_t since, int64_t first, PanelProduct& product) {
  const auto same = std::find_if(plan.products.begin() + static_cast<int64_t>(since), plan.products.end(),
                                 [&](const PanelProduct& other) { return other.kernel->form == product.kernel->form; });
  if (same != plan.products.end()) {
    product.block_begin = same->block_begin;
    product.block_end = same->block_end;
    return;
  }
  product.block_begin = plan.blocks.size();
  plan_blocks(*product.kernel, first, product.rows, product.inputs, plan.blocks);
  product.block_end = plan.blocks.size();
}

// Into how many groups of row blocks the products are cut so that each is one thread's alone, which brings its rows
// into form and multiplies them while they are in its own cache; 0 where threads share the rows and split the panels:
// where rows are few, or where the panels are too many to be read again for each group.
int64_t row_groups(const Plan& plan, const Work& work) {
  constexpr int64_t kRowsLeast = 128;  // of a group
  const auto n_blocks = static_cast<int64_t>(plan.blocks.size());
  int64_t panel_bytes = 0;
  for (const PanelProduct& product : plan.products) {
    if (product.block_begin != 0 || product.block_end != plan.blocks.size()) return 0;  // rows in several forms
    panel_bytes += product.n_panels * product.panel_bytes;
  }
  const int64_t threads = work.pool.n_threads(), blocks_least = ceil_div(kRowsLeast, plan.blocks[0].rows);
  if (panel_bytes > work.row_group_bytes || n_blocks < threads * blocks_least) return 0;
  const int64_t row_bytes = n_blocks * plan.blocks[0].dwords * plan.blocks[0].rows * 4;
  const int64_t rounds = std::max<int64_t>(2, ceil_div(row_bytes, threads * work.row_group_bytes));
  return std::min(threads * rounds, n_blocks / blocks_least);
}

// All products of row blocks [begin, end), which are filled.
void multiply_group(const Plan& plan, int64_t begin, int64_t end, Scratch& scratch) {
  for (size_t p = 0; p < plan.products.size(); ++p) {
    run_task(plan,
             {.product = p,
              .panel_begin = 0,
              .panel_end = plan.products[p].n_panels,
              .block_begin = static_cast<size_t>(begin),
              .block_end = static_cast<size_t>(end)},
             scratch);
  }
}

// Rows [first, first + rows) of the op.
void run_matmul_rows(const contract::Matmul& op, int64_t first, int64_t rows, Work& work) {
  Plan& plan = plan_of_thread();
  const int64_t inputs = op.x.cols;
  for (int i = 0; i < op.n_targets; ++i) {
    const contract::MatmulTarget& target = op.targets[i];
    const auto& matrix = static_cast<const CpuMatrix&>(*target.weight);
    PanelProduct product = product_of(matrix, 0, kernel_of(matrix.layout, matrix.rule, rows, work), rows);
    product.bias = target.bias.empty() ? nullptr : f32(target.bias);
    product.out = f32(target.out, first);
    product.out_stride = target.out.row_stride;
    give_blocks(plan, 0, 0, product);
    plan.products.push_back(product);
  }
  place_blocks(plan, 0, work);
  const auto fill = [&](int64_t begin, int64_t end, int thread) {
    for (int64_t i = begin; i < end; ++i) {
      fill_block(
          plan.blocks[static_cast<size_t>(i)], inputs, false,
          [&](int64_t row) { return static_cast<const void*>(f32(op.x, first + row)); },
          work.scratch[static_cast<size_t>(thread)]);
    }
  };
  const auto n_blocks = static_cast<int64_t>(plan.blocks.size());
  const int64_t n_groups = row_groups(plan, work);
  if (n_groups > 0) {
    work.pool.parallel_for_near(n_groups, [&](int64_t group, int thread) {
      const int64_t begin = n_blocks * group / n_groups, end = n_blocks * (group + 1) / n_groups;
      fill(begin, end, thread);
      multiply_group(plan, begin, end, work.scratch[static_cast<size_t>(thread)]);
    });
    return;
  }
  for_row_ranges(work, n_blocks, plan.blocks[0].rows * inputs, fill);
  run_tasks(plan, work);
}

// The products of slots [first, first + n) of the op, group by group, the targets of a group side by side.
void plan_groups(const contract::GroupedMatmul& op, int64_t first, int64_t n, Plan& plan, Work& work) {
  const int64_t n_groups = op.targets[0].weight->groups;
  sort_slots(op.groups, n_groups, first, n, plan.sorted);
  for (int64_t group = 0; group < n_groups; ++group) {
    const int64_t begin = plan.sorted.starts[static_cast<size_t>(group)];
    const int64_t rows = plan.sorted.starts[static_cast<size_t>(group) + 1] - begin;
    if (rows == 0) continue;
    const size_t first_of_group = plan.products.size();
    for (int i = 0; i < op.n_targets; ++i) {
      const auto& matrix = static_cast<const CpuMatrix&>(*op.targets[i].weight);
      PanelProduct product = product_of(matrix, group, kernel_of(matrix.layout, matrix.rule, rows, work), rows);
      product.out = f32(op.targets[i].out);
      product.out_stride = op.targets[i].out.row_stride;
      product.slots = plan.sorted.slots.data();
      give_blocks(plan, first_of_group, begin, product);
      plan.products.push_back(product);
    }
  }
}

// Rows of x in one form, made once where several slots share a row: [rows of the run][dwords]. A form that holds the
// values as they are has none.
struct WrittenRows {
  RowForm form;
  int64_t dwords = 0;
  uint32_t* rows = nullptr;
};

// The forms of all rows of a run: each target may have one for few rows and one for many.
struct WrittenForms {
  WrittenRows forms[2 * contract::GroupedMatmul::kTargetsMax];
  int n = 0;

  WrittenRows* find(const RowForm& form) {
    return std::find_if(forms, forms + n, [&](const WrittenRows& written) { return written.form == form; });
  }
  WrittenRows* end() { return forms + n; }
};

WrittenForms forms_of(const Plan& plan) {
  WrittenForms written;
  for (const PanelProduct& product : plan.products) {
    const RowForm& form = product.kernel->form;
    if (form.kind == RowKind::kF32 || written.find(form) != written.end()) continue;
    written.forms[written.n++] = {.form = form, .dwords = row_dwords(form, product.inputs)};
  }
  return written;
}

// Slots [first, first + n) of the op; first is a multiple of rows_share.
void run_grouped_slots(const contract::GroupedMatmul& op, int64_t first, int64_t n, Work& work) {
  Plan& plan = plan_of_thread();
  plan_groups(op, first, n, plan, work);
  const int64_t inputs = op.x.cols, row_begin = first / op.rows_share;
  const int64_t n_rows = ceil_div(first + n, op.rows_share) - row_begin;
  WrittenForms written = op.rows_share > 1 ? forms_of(plan) : WrittenForms{};
  int64_t reserved = 0;
  for (int i = 0; i < written.n; ++i) reserved += n_rows * written.forms[i].dwords;
  uint32_t* memory = place_blocks(plan, reserved, work);
  for (int i = 0; i < written.n; ++i) {
    WrittenRows& rows = written.forms[i];
    rows.rows = memory;
    memory += n_rows * rows.dwords;
    work.pool.parallel_for(n_rows, [&](int64_t row, int) {
      write_row(rows.form, f32(op.x, row_begin + row), inputs, rows.rows + row * rows.dwords);
    });
  }
  work.pool.parallel_for(static_cast<int64_t>(plan.blocks.size()), [&](int64_t i, int thread) {
    const RowBlock& block = plan.blocks[static_cast<size_t>(i)];
    const WrittenRows* rows = written.find(block.form);
    const bool is_written = rows != written.end();
    const auto source = [&](int64_t index) -> const void* {
      const int64_t row = plan.sorted.slots[static_cast<size_t>(index)] / op.rows_share;
      if (is_written) return rows->rows + (row - row_begin) * rows->dwords;
      return f32(op.x, row);
    };
    fill_block(block, inputs, is_written, source, work.scratch[static_cast<size_t>(thread)]);
  });
  run_tasks(plan, work);
}

}  // namespace

const PanelKernel& kernel_of(Layout layout, contract::Rule rule, int64_t rows, const Work& work) {
  if (rows >= kTileRowsMin) {
    const PanelKernel* tiles = tile_kernel(layout, work.emulate_tiles);
    if (tiles != nullptr) return *tiles;
  }
  if (contract::has_integer_activations(rule)) return integer_kernel(rule);
  return float_kernel(layout);
}

template <>
Status run(const contract::Matmul& op, Work& work, std::string_view* kernel) {
  const int64_t run = std::max<int64_t>(kRunBytes / (4 * std::max<int64_t>(1, op.x.cols)), 64);
  const auto& weight = static_cast<const CpuMatrix&>(*op.targets[0].weight);
  *kernel = kernel_of(weight.layout, weight.rule, op.x.rows, work).name;
  const int64_t n_runs = ceil_div(op.x.rows, run);
  for (int64_t i = 0; i < n_runs; ++i) {
    const int64_t first = op.x.rows * i / n_runs, end = op.x.rows * (i + 1) / n_runs;
    run_matmul_rows(op, first, end - first, work);
  }
  return {};
}

template <>
Status run(const contract::GroupedMatmul& op, Work& work, std::string_view* kernel) {
  const auto& matrix = static_cast<const CpuMatrix&>(*op.targets[0].weight);
  const int64_t slots = op.x.rows * op.rows_share;
  *kernel = kernel_of(matrix.layout, matrix.rule, ceil_div(slots, std::max<int64_t>(1, matrix.groups)), work).name;
  const int64_t rows = std::max<int64_t>(2 * kRunBytes / (4 * std::max<int64_t>(1, matrix.inputs) * op.rows_share), 64);
  const int64_t run_slots = rows * op.rows_share;
  for (int64_t first = 0; first < slots; first += run_slots) {
    run_grouped_slots(op, first, std::min(run_slots, slots - first), work);
  }
  return {};
}

}  // namespace naru::cpu::NARU_LEVEL
