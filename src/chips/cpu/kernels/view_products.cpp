// WeightGrad, Product and Pack: products of two f32 views. Both operands are brought into the forms that the level's
// best kernel of the rule reads, as many of them at a time as fit a bounded memory; then they meet as in Matmul.

#include "chips/cpu/kernels/matmul_run.h"
#include "chips/cpu/kernels/view_panels.h"

namespace naru::cpu::NARU_LEVEL {
namespace {

constexpr int64_t kPanelsMin = 4;  // of a chunk, however long its sums are

// out[i][j] = dot of row i of `a` and row j of `b`, or out + that dot.
struct ViewProduct {
  Operand a;
  Operand b;
  float* out = nullptr;
  int64_t out_stride = 0;
};

// The part of a product that is computed in one run: rows and panels.
struct Chunk {
  const ViewProduct* product = nullptr;
  const PanelKernel* kernel = nullptr;
  int64_t row_begin = 0;
  int64_t row_end = 0;
  int64_t panel_begin = 0;
  int64_t panel_end = 0;
  int64_t bytes = 0;
};

Layout layout_of_rule(contract::Rule rule, const Work& work) {
  return layout_of(DType::kF32, rule, has_bf16_dot(work));
}

// A product whose operands need more than half of kRunBytes each is cut.
void add_chunks(const ViewProduct& product, contract::Rule rule, Work& work, std::vector<Chunk>& chunks) {
  const Layout layout = layout_of_rule(rule, work);
  const PanelKernel& kernel = kernel_of(layout, rule, product.a.n, work);
  const int64_t one_panel = std::max<int64_t>(1, panel_bytes(layout, rule, product.b.inputs));
  const int64_t one_row = std::max<int64_t>(1, row_dwords(kernel.form, product.a.inputs) * 4);
  const int64_t n_panels = ceil_div(product.b.n, kPanel);
  const int64_t rows_of_block = kernel.sizes.back().rows;
  const int64_t panels = std::max<int64_t>(kPanelsMin, kRunBytes / 2 / one_panel);
  const int64_t rows = std::max<int64_t>(1, kRunBytes / 2 / (one_row * rows_of_block)) * rows_of_block;
  for (int64_t row = 0; row < product.a.n; row += rows) {
    for (int64_t panel = 0; panel < n_panels; panel += panels) {
      Chunk chunk{.product = &product,
                  .kernel = &kernel,
                  .row_begin = row,
                  .row_end = std::min(row + rows, product.a.n),
                  .panel_begin = panel,
                  .panel_end = std::min(panel + panels, n_panels)};
      chunk.bytes = (chunk.panel_end - panel) * one_panel + (chunk.row_end - row) * one_row;
      chunks.push_back(chunk);
    }
  }
}

// Fills the operands of the chunks and multiplies.
void run_chunks(std::span<const Chunk> chunks, contract::Rule rule, bool is_added, Work& work) {
  const Layout layout = layout_of_rule(rule, work);
  Plan plan;
  int64_t reserved = 0;
  for (const Chunk& chunk : chunks) {
    const ViewProduct& product = *chunk.product;
    const size_t block_begin = plan.blocks.size();
    plan_blocks(*chunk.kernel, chunk.row_begin, chunk.row_end - chunk.row_begin, product.a.inputs, plan.blocks);
    plan.products.push_back({.kernel = chunk.kernel,
                             .panel_bytes = panel_bytes(layout, rule, product.b.inputs),
                             .n_panels = chunk.panel_end - chunk.panel_begin,
                             .outputs = std::min(product.b.n, chunk.panel_end * kPanel) - chunk.panel_begin * kPanel,
                             .inputs = product.b.inputs,
                             .out = product.out + chunk.panel_begin * kPanel,
                             .out_stride = product.out_stride,
                             .is_added = is_added,
                             .block_begin = block_begin,
                             .block_end = plan.blocks.size(),
                             .rows = chunk.row_end - chunk.row_begin});
    reserved += plan.products.back().panel_bytes * plan.products.back().n_panels / 4;
  }
  auto* panels = reinterpret_cast<std::byte*>(place_blocks(plan, reserved, work));
  std::vector<PanelTarget> targets(chunks.size());
  std::vector<FillPart> parts;
  for (size_t i = 0; i < chunks.size(); ++i) {
    PanelProduct& product = plan.products[i];
    product.panels = panels;
    targets[i] = {.layout = layout,
                  .panels = panels,
                  .panel_bytes = product.panel_bytes,
                  .panel_begin = chunks[i].panel_begin,
                  .panel_end = chunks[i].panel_end};
    add_panel_parts(chunks[i].product->b, targets[i], parts);
    add_block_parts(chunks[i].product->a, plan.blocks.data() + product.block_begin,
                    static_cast<int64_t>(product.block_end - product.block_begin), parts);
    panels += product.panel_bytes * product.n_panels;
  }
  run_parts(parts, work);
  run_tasks(plan, work);
}

void run_products(const std::vector<ViewProduct>& products, contract::Rule rule, bool is_added, Work& work) {
  std::vector<Chunk> chunks;
  for (const ViewProduct& product : products) add_chunks(product, rule, work, chunks);
  for (size_t first = 0; first < chunks.size();) {
    size_t last = first;
    for (int64_t bytes = 0; last < chunks.size() && (last == first || bytes + chunks[last].bytes <= kRunBytes);) {
      bytes += chunks[last++].bytes;
    }
    run_chunks(std::span(chunks).subspan(first, last - first), rule, is_added, work);
    first = last;
  }
}

}  // namespace

template <>
Status run(const contract::WeightGrad& op, Work& work, std::string_view* kernel) {
  const auto n_groups = static_cast<int64_t>(op.out.size());
  const int64_t slots = op.dy.rows;
  NARU_CHECK(slots <= INT32_MAX, slots);
  *kernel = kernel_of(layout_of_rule(op.rule, work), op.rule, op.dy.cols, work).name;
  const bool is_whole = n_groups == 1 && op.groups.empty() && op.rows_share == 1;
  SortedSlots sorted{{}, {0, slots}};
  if (!is_whole) sort_slots(op.groups, n_groups, 0, slots, sorted);
  std::vector<int32_t> x_rows;
  for (const int32_t slot : sorted.slots) x_rows.push_back(static_cast<int32_t>(slot / op.rows_share));
  std::vector<ViewProduct> products;
  for (size_t group = 0; group < op.out.size(); ++group) {
    const int64_t begin = sorted.starts[group];
    const int64_t n = sorted.starts[group + 1] - begin;
    if (n == 0) continue;
    const auto operand = [&](const View& view, const std::vector<int32_t>& rows) {
      return Operand{.view = view,
                     .is_transposed = true,
                     .n = view.cols,
                     .inputs = n,
                     .rows = is_whole ? nullptr : rows.data() + begin};
    };
    products.push_back({.a = operand(op.dy, sorted.slots),
                        .b = operand(op.x, x_rows),
                        .out = f32(op.out[group]),
                        .out_stride = op.out[group].row_stride});
  }
  run_products(products, op.rule, true, work);
  return {};
}

template <>
Status run(const contract::Product& op, Work& work, std::string_view* kernel) {
  const int64_t inputs = op.a_transposed ? op.a.rows : op.a.cols;
  *kernel = kernel_of(layout_of_rule(op.rule, work), op.rule, op.out.rows, work).name;
  const std::vector<ViewProduct> products = {
      {.a = {.view = op.a, .is_transposed = op.a_transposed, .n = op.out.rows, .inputs = inputs},
       .b = {.view = op.b, .is_transposed = op.b_transposed, .n = op.out.cols, .inputs = inputs},
       .out = f32(op.out),
       .out_stride = op.out.row_stride}};
  run_products(products, op.rule, false, work);
  return {};
}

template <>
Status run(const contract::Pack& op, Work& work, std::string_view* kernel) {
  auto& matrix = static_cast<CpuMatrix&>(*op.out);
  *kernel = op.is_transposed ? "pack_columns" : "pack_rows";
  NARU_CHECK(matrix.layout == Layout::kF32 || matrix.rule == contract::Rule::kBF16, static_cast<int>(matrix.layout));
  std::vector<Operand> operands;
  std::vector<PanelTarget> targets;
  for (int64_t group = 0; group < matrix.groups; ++group) {
    operands.push_back({.view = op.groups[static_cast<size_t>(group)],
                        .is_transposed = op.is_transposed,
                        .n = matrix.outputs,
                        .inputs = matrix.inputs});
    targets.push_back({.layout = matrix.layout,
                       .is_rounded_first = op.is_rounded_first,
                       .panels = matrix.panel(group, 0),
                       .panel_bytes = matrix.panel_bytes,
                       .panel_begin = 0,
                       .panel_end = matrix.panels});
  }
  std::vector<FillPart> parts;
  for (size_t group = 0; group < operands.size(); ++group) add_panel_parts(operands[group], targets[group], parts);
  run_parts(parts, work);
  return {};
}

}  // namespace naru::cpu::NARU_LEVEL
