// Matmul and GroupedMatmul: rows of activations meet the panels of packed matrices (matmul_plan.h, matmul_run.h).

#include <algorithm>
#include <vector>

#include "chips/cpu/kernels/matmul_run.h"

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
PanelProduct product_of(const CpuMatrix& matrix, int64_t group, const Family& family, int64_t rows) {
  return {.family = &family,
          .panels = matrix.panel(group, 0),
          .panel_bytes = matrix.panel_bytes,
          .n_panels = matrix.panels,
          .outputs = matrix.outputs,
          .inputs = matrix.inputs,
          .rows = rows};
}

// Rows [first, first + rows) of the op.
void run_matmul_rows(const contract::Matmul& op, int64_t first, int64_t rows, Work& work) {
  Plan& plan = plan_of_thread();
  const int64_t inputs = op.x.cols;
  for (int i = 0; i < op.n_targets; ++i) {
    const contract::MatmulTarget& target = op.targets[i];
    const auto& matrix = static_cast<const CpuMatrix&>(*target.weight);
    const Family& family = family_of(matrix.layout, matrix.rule, rows, work);
    PanelProduct product = product_of(matrix, 0, family, rows);
    product.bias = target.bias.empty() ? nullptr : f32(target.bias);
    product.out = f32(target.out, first);
    product.out_stride = target.out.row_stride;
    const auto same = std::find_if(plan.products.begin(), plan.products.end(),
                                   [&](const PanelProduct& other) { return other.family->form == family.form; });
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
        [&](int64_t row) { return static_cast<const void*>(f32(op.x, first + row)); },
        work.scratch[static_cast<size_t>(thread)]);
  });
  run_tasks(plan, work);
}

// Slots [first, first + n) of the op; first is a multiple of rows_share.
void run_grouped_slots(const contract::GroupedMatmul& op, int64_t first, int64_t n, Work& work) {
  const auto& matrix = static_cast<const CpuMatrix&>(*op.weight);
  const SortedSlots sorted = sort_slots(op.groups, matrix.groups, first, n);
  Plan& plan = plan_of_thread();
  std::vector<RowForm> forms;
  for (int64_t group = 0; group < matrix.groups; ++group) {
    const int64_t begin = sorted.starts[static_cast<size_t>(group)];
    const int64_t rows = sorted.starts[static_cast<size_t>(group) + 1] - begin;
    if (rows == 0) continue;
    const Family& family = family_of(matrix.layout, matrix.rule, rows, work);
    const size_t block_begin = plan.blocks.size();
    plan_blocks(family, begin, rows, matrix.inputs, plan.blocks);
    PanelProduct product = product_of(matrix, group, family, rows);
    product.out = f32(op.out);
    product.out_stride = op.out.row_stride;
    product.slots = sorted.slots.data();
    product.block_begin = block_begin;
    product.block_end = plan.blocks.size();
    plan.products.push_back(product);
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
    work.pool.parallel_for(n_rows, [&](int64_t i, int) {
      write_row(form, f32(op.x, row_begin + i), matrix.inputs, written + i * dwords);
    });
    written += n_rows * dwords;
  }
  work.pool.parallel_for(static_cast<int64_t>(plan.blocks.size()), [&](int64_t i, int thread) {
    const RowBlock& block = plan.blocks[static_cast<size_t>(i)];
    const auto form = static_cast<size_t>(std::find(forms.begin(), forms.end(), block.form) - forms.begin());
    const auto source = [&](int64_t index) -> const void* {
      const int64_t row = sorted.slots[static_cast<size_t>(index)] / op.rows_share;
      if (is_written) return rows_of_form[form] + (row - row_begin) * block.dwords;
      return f32(op.x, row);
    };
    fill_block(block, matrix.inputs, is_written, source, work.scratch[static_cast<size_t>(thread)]);
  });
  run_tasks(plan, work);
}

}  // namespace

const Family& family_of(Layout layout, contract::Rule rule, int64_t rows, const Work& work) {
  if (rows >= kTileRowsMin) {
    const Family* tiles = tile_family(layout, work.emulate_tiles);
    if (tiles != nullptr) return *tiles;
  }
  if (contract::has_integer_activations(rule)) return integer_family(rule);
  return float_family(layout);
}

template <>
Status run(const contract::Matmul& op, Work& work, std::string_view* kernel) {
  const int64_t run = std::max<int64_t>(kRunBytes / (4 * std::max<int64_t>(1, op.x.cols)), 64);
  const auto& weight = static_cast<const CpuMatrix&>(*op.targets[0].weight);
  *kernel = family_of(weight.layout, weight.rule, op.x.rows, work).name;
  const int64_t n_runs = ceil_div(op.x.rows, run);
  for (int64_t i = 0; i < n_runs; ++i) {
    const int64_t first = op.x.rows * i / n_runs, end = op.x.rows * (i + 1) / n_runs;
    run_matmul_rows(op, first, end - first, work);
  }
  return {};
}

template <>
Status run(const contract::GroupedMatmul& op, Work& work, std::string_view* kernel) {
  const auto& matrix = static_cast<const CpuMatrix&>(*op.weight);
  const int64_t slots = op.out.rows;
  *kernel = family_of(matrix.layout, matrix.rule, ceil_div(slots, std::max<int64_t>(1, matrix.groups)), work).name;
  const int64_t rows = std::max<int64_t>(2 * kRunBytes / (4 * std::max<int64_t>(1, matrix.inputs) * op.rows_share), 64);
  const int64_t run = rows * op.rows_share;
  for (int64_t first = 0; first < slots; first += run) {
    run_grouped_slots(op, first, std::min(run, slots - first), work);
  }
  return {};
}

}  // namespace naru::cpu::NARU_LEVEL
