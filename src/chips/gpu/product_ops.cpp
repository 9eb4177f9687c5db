// Products: of packed matrices (matmul, grouped_matmul), of views, and the gradients of weights.
#include <fmt/format.h>

#include <algorithm>

#include "base/checked.h"
#include "chips/gpu/ops.h"
#include "contract/rows.h"

namespace naru::gpu {
namespace {

using contract::Rule;

enum ProductSlot : size_t { kParts, kIntegers, kScales };

// Tiles pay from so many rows on; on processors, which make eight of the rows of a tile at a time, from two.
constexpr int64_t kTileRows = 8, kTileRowsNarrow = 2, kTile = 64;

Device::Groups tiles_of(int64_t rows, int64_t cols, int64_t segments) {
  return {ceil_div(cols, kTile), ceil_div(rows, kTile), segments};
}

// Which of the matrices of a packed one each slot takes.
struct Choice {
  View list = {};
  int64_t kind = 0;  // group_of() of text/dots.cl
  int64_t rows_share = 1;
};

struct Target {
  const Matrix* weight = nullptr;
  View bias = {};
  View out = {};
};

// The dots of every slot with all outputs of its matrix.
class ProductLauncher {
 public:
  ProductLauncher(Device& device, std::string_view op, const View& x, const Choice& choice)
      : device_(device), op_(op), x_(x), choice_(choice), slots_(x.rows * choice.rows_share) {}

  // Of the rules of the targets: what they share is quantised once for each kind of block.
  Status run(const Target& target) {
    const Matrix& w = *target.weight;
    if (slots_ == 0 || w.outputs == 0) return {};
    const int64_t segments = w.rule == Rule::kW8A8 ? 1 : segments_of(w.inputs);
    MemoryPlace parts = device_.place(View{});
    if (segments > 1) {
      NARU_ASSIGN(parts, device_.scratch(kParts, segments * slots_ * w.outputs * 4));
    }
    if (contract::has_integer_activations(w.rule)) {
      NARU_TRY(run_integers(target, segments, parts));
    } else {
      NARU_TRY(run_floats(target, segments, parts));
    }
    if (segments == 1) return {};
    return device_.launch_elements("join_segments", slots_, w.outputs, parts, device_.place(target.bias), target.out,
                                   slots_, w.outputs, segments, !target.bias.empty(), false);
  }

 private:
  Status run_floats(const Target& target, int64_t segments, const MemoryPlace& parts) {
    const Matrix& w = *target.weight;
    const int64_t tile_rows = device_.info().is_narrow ? kTileRowsNarrow : kTileRows;
    const bool is_tiled = choice_.kind == 0 && slots_ >= tile_rows;
    const std::string kernel = fmt::format("product_{}{}", contract::rule_name(w.rule), is_tiled ? "_tiles" : "");
    const Device::Groups groups = is_tiled ? tiles_of(slots_, w.outputs, segments)
                                           : Device::Groups{Device::groups_of(kernel, ceil_div(w.outputs, 8)),
                                                            std::min<int64_t>(slots_, Device::kGroupsMax), segments};
    NARU_ASSIGN(const MemoryPlace marks, device_.watch(slots_, no_row_fails(op_)));
    return device_.launch(kernel, groups, x_, w.place(), device_.place(target.bias), target.out, parts, choice_.list,
                          marks, slots_, w.outputs, w.inputs, !target.bias.empty(), choice_.kind, w.groups,
                          choice_.rows_share);
  }

  Status run_integers(const Target& target, int64_t segments, const MemoryPlace& parts) {
    const Matrix& w = *target.weight;
    const bool has_blocks = contract::is_block_rule(w.rule);
    NARU_ASSIGN(const MemoryPlace integers, device_.scratch(kIntegers, integer_bytes(w, x_.rows)));
    NARU_ASSIGN(const MemoryPlace scales, device_.scratch(kScales, scale_bytes(w, x_.rows)));
    if (!is_quantised_ || has_blocks != has_blocks_) {
      const std::string_view kernel = has_blocks ? "quantise_blocks" : "quantise_rows";
      const int64_t n_rows = std::min<int64_t>(x_.rows, Device::kGroupsMax);
      const Device::Groups groups =
          has_blocks ? Device::Groups{ceil_div(w.inputs, 4 * contract::kBlock), n_rows, 1} : Device::Groups{n_rows};
      NARU_TRY(device_.launch(kernel, groups, x_, integers, scales, x_.rows, w.inputs));
      is_quantised_ = true;
      has_blocks_ = has_blocks;
    }
    const IntegerKernel kernel = has_blocks ? block_kernel(w) : w8a8_kernel();
    const Device::Groups groups{ceil_div(w.outputs, kernel.outputs),
                                std::min(ceil_div(slots_, kernel.slots), Device::kGroupsMax), segments};
    NARU_ASSIGN(const MemoryPlace marks, device_.watch(slots_, no_row_fails(op_)));
    return device_.launch(kernel.name, groups, integers, scales, w.place(), device_.place(target.bias), target.out,
                          parts, choice_.list, marks, slots_, w.outputs, w.inputs, !target.bias.empty(), choice_.kind,
                          w.groups, choice_.rows_share);
  }

  // A kernel, and the outputs and slots of one of its groups.
  struct IntegerKernel {
    std::string name;
    int64_t outputs, slots;
  };
  // Kernels that look at no list, for many slots, have no loop over the groups of the grid's second dimension.
  bool shares_matrix(int64_t slots_of_group) const {
    return choice_.kind == 0 && ceil_div(slots_, slots_of_group) <= Device::kGroupsMax;
  }
  IntegerKernel block_kernel(const Matrix& w) const {
    if (slots_ > 1 && shares_matrix(32)) return {fmt::format("product_{}_rows", contract::rule_name(w.rule)), 32, 32};
    return {fmt::format("product_{}", contract::rule_name(w.rule)), 32, 1};
  }
  IntegerKernel w8a8_kernel() const {
    if (slots_ >= kTileRows && shares_matrix(kTile)) {
      if (!device_.info().software.matrices) return {"product_w8a8_matrix", 128, 128};
      return {"product_w8a8_tiles", kTile, kTile};
    }
    if (slots_ > 1 && choice_.kind == 0) return {"product_w8a8_few", 4, 4};
    return {"product_w8a8", 4, 1};
  }

  Device& device_;
  std::string_view op_;
  const View& x_;
  const Choice& choice_;
  int64_t slots_;
  bool is_quantised_ = false, has_blocks_ = false;
};

// A view as the element (i, k) of an operand: how far rows and columns lie apart.
struct Strides {
  int64_t row = 0, k = 0;
};
Strides strides_of(const View& view, bool is_transposed) {
  return is_transposed ? Strides{1, view.row_stride} : Strides{view.row_stride, 1};
}

// out = the dots over n of a(i, k) and b(j, k), or added to what it holds.
Status product_of_views(Device& device, const View& a, Strides a_strides, const View& b, Strides b_strides, int64_t n,
                        Rule rule, bool is_added, const View& out) {
  if (out.rows == 0 || out.cols == 0) return {};
  const int64_t segments = segments_of(n);
  MemoryPlace parts = device.place(View{});
  if (segments > 1) {
    NARU_ASSIGN(parts, device.scratch(kParts, segments * out.rows * out.cols * 4));
  }
  const bool is_tiled = out.rows >= kTileRows && out.cols >= kTileRows;
  const std::string kernel = is_tiled ? fmt::format("views_{}_tiles", contract::rule_name(rule)) : "product_views";
  const Device::Groups groups =
      is_tiled ? tiles_of(out.rows, out.cols, segments)
               : Device::Groups{Device::groups_of(kernel, out.cols), std::min(out.rows, Device::kGroupsMax), segments};
  NARU_TRY(device.launch(kernel, groups, device.place(a), device.place(b), out, parts, out.rows, out.cols, n,
                         a_strides.row, a_strides.k, b_strides.row, b_strides.k, rule == Rule::kBF16, is_added));
  if (segments == 1) return {};
  return device.launch_elements("join_segments", out.rows, out.cols, parts, device.place(View{}), out, out.rows,
                                out.cols, segments, false, is_added);
}

}  // namespace

int64_t integer_bytes(const contract::PackedMatrix& weight, int64_t rows) {
  return rows * round_up(weight.inputs, contract::kBlock);
}

int64_t scale_bytes(const contract::PackedMatrix& weight, int64_t rows) {
  return rows * (contract::is_block_rule(weight.rule) ? weight.inputs / contract::kBlock : 1) * 8;
}

int64_t segments_of(int64_t inputs) {
  return std::max<int64_t>(ceil_div(inputs, contract::kSegment), 1);
}

Status run(Device& device, const contract::Matmul& op) {
  const Choice only;
  ProductLauncher launcher(device, op.kName, op.x, only);
  for (int i = 0; i < op.n_targets; ++i) {
    const contract::MatmulTarget& target = op.targets[i];
    NARU_TRY(launcher.run({static_cast<const Matrix*>(target.weight), target.bias, target.out}));
  }
  return {};
}

Status run(Device& device, const contract::GroupedMatmul& op) {
  const Choice choice{op.groups, op.groups.empty() ? 1 : 2, op.rows_share};
  ProductLauncher launcher(device, op.kName, op.x, choice);
  for (int i = 0; i < op.n_targets; ++i) {
    NARU_TRY(launcher.run({static_cast<const Matrix*>(op.targets[i].weight), View{}, op.targets[i].out}));
  }
  return {};
}

Status run(Device& device, const contract::Product& op) {
  const int64_t n = op.a_transposed ? op.a.rows : op.a.cols;
  return product_of_views(device, op.a, strides_of(op.a, op.a_transposed), op.b, strides_of(op.b, op.b_transposed), n,
                          op.rule, false, op.out);
}

namespace {

// The group's own slots lie in `list`, and how many in `count`, which the device alone knows.
Status weight_grad_of_group(Device& device, const contract::WeightGrad& op, const MemoryPlace& list,
                            const MemoryPlace& count, const View& out) {
  if (out.rows < kTileRows || out.cols < kTileRows) {
    return device.launch_elements("weight_grad", out.rows, out.cols, op.dy, op.x, list, count, out, out.rows, out.cols,
                                  op.rows_share, op.rule == Rule::kBF16);
  }
  const int64_t segments = segments_of(op.dy.rows);
  MemoryPlace parts = device.place(View{});
  if (segments > 1) {
    NARU_ASSIGN(parts, device.scratch(kParts, segments * out.rows * out.cols * 4));
  }
  NARU_TRY(device.launch(fmt::format("weight_grad_{}_tiles", contract::rule_name(op.rule)),
                         tiles_of(out.rows, out.cols, segments), op.dy, op.x, list, count, out, parts, out.rows,
                         out.cols, op.rows_share));
  if (segments == 1) return {};
  return device.launch_elements("join_slots", out.rows, out.cols, parts, count, out, out.rows, out.cols, segments);
}

}  // namespace

Status run(Device& device, const contract::WeightGrad& op) {
  const auto n_groups = static_cast<int64_t>(op.out.size());
  const int64_t slots = op.dy.rows;
  if (slots == 0) return {};
  if (n_groups == 1 && op.groups.empty() && op.rows_share == 1) {
    return product_of_views(device, op.dy, strides_of(op.dy, true), op.x, strides_of(op.x, true), slots, op.rule, true,
                            op.out[0]);
  }
  NARU_ASSIGN(const MemoryPlace list, device.scratch(kIntegers, n_groups * slots * 4));
  NARU_ASSIGN(const MemoryPlace counts, device.scratch(kScales, n_groups * 4));
  NARU_TRY(device.launch_rows("list_slots", n_groups, op.groups, list, counts, slots, n_groups, !op.groups.empty()));
  for (int64_t g = 0; g < n_groups; ++g) {
    const View& out = op.out[static_cast<size_t>(g)];
    const MemoryPlace own{list.memory, list.offset + g * slots * 4}, count{counts.memory, counts.offset + g * 4};
    NARU_TRY(weight_grad_of_group(device, op, own, count, out));
  }
  return {};
}

}  // namespace naru::gpu
