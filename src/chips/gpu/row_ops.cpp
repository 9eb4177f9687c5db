// Row functions, and the errors of their rows.
#include <fmt/format.h>

#include <bit>
#include <optional>

#include "base/checked.h"
#include "chips/gpu/ops.h"
#include "contract/op_table.h"
#include "contract/rows.h"

namespace naru::gpu {
namespace {

// The rows that are not finite, marked 1; none where a mark is of a kind that no kernel leaves.
std::vector<int64_t> marked_rows(Marks marks) {
  std::vector<int64_t> rows;
  for (size_t i = 0; i < marks.size() / 2; ++i) {
    if (marks[2 * i] != 0 && marks[2 * i] != 1) return {};
    if (marks[2 * i] == 1) rows.push_back(static_cast<int64_t>(i));
  }
  return rows;
}

// The first index out of range among the marks, where there is one.
std::optional<Error> index_error(std::string_view op, Marks marks) {
  for (size_t i = 0; i < marks.size() / 2; ++i) {
    if (marks[2 * i] != 2) continue;
    return Error{
        Code::kInternal,
        fmt::format("{}: row {}: the device found the index {} there, which is out of range; the device or its "
                    "driver is at fault, run `naru check`",
                    op, i, std::bit_cast<float>(marks[2 * i + 1]))};
  }
  return {};
}

// ROW_GROUP of text/sums.cl.
Device::Groups row_groups(const Device& device, int64_t rows, int64_t cols) {
  const bool is_a_group_each = cols > contract::kSegment && !device.info().is_narrow;
  return {is_a_group_each ? rows : ceil_div(rows, 4), 1, 1};
}

}  // namespace

Error fault_of_device(std::string_view op) {
  return {Code::kInternal, fmt::format("{}: a launch failed without a reason; the device or its driver is at fault, "
                                       "run `naru check`",
                                       op)};
}

Describe non_finite_rows(std::string_view op, std::string_view what) {
  return [op, what](Marks marks) {
    if (auto error = index_error(op, marks)) return *std::move(error);
    std::vector<int64_t> rows = marked_rows(marks);
    if (rows.empty()) return fault_of_device(op);
    const int64_t first = rows.front();
    const float found = std::bit_cast<float>(marks[static_cast<size_t>(2 * first + 1)]);
    return contract::row_error(op, static_cast<int64_t>(marks.size() / 2), std::move(rows),
                               fmt::format("{}: row {}: the {} is {}, a finite number was wanted; the weights or an "
                                           "earlier layer overflowed",
                                           op, first, what, found));
  };
}

Describe no_row_fails(std::string_view op) {
  return [op](Marks marks) { return index_error(op, marks).value_or(fault_of_device(op)); };
}

Status run(Device& device, const contract::RmsNorm& op) {
  NARU_ASSIGN(const MemoryPlace marks, device.watch(op.x.rows, non_finite_rows(op.kName, "sum of squares")));
  return device.launch("rms_norm", row_groups(device, op.x.rows, op.x.cols), op.x, op.weight, op.out, marks, op.x.rows,
                       op.x.cols, op.eps);
}

Status run(Device& device, const contract::LogProb& op) {
  NARU_ASSIGN(const MemoryPlace marks, device.watch(op.logits.rows, non_finite_rows(op.kName, "largest logit")));
  return device.launch("log_prob", row_groups(device, op.logits.rows, op.logits.cols), op.logits, op.targets, op.out,
                       marks, op.logits.rows, op.logits.cols);
}

Status run(Device& device, const contract::CrossEntropy& op) {
  NARU_ASSIGN(const MemoryPlace marks, device.watch(op.logits.rows, non_finite_rows(op.kName, "largest logit")));
  return device.launch("cross_entropy", row_groups(device, op.logits.rows, op.logits.cols), op.logits, op.targets,
                       op.weights, op.loss, op.dlogits, marks, op.logits.rows, op.logits.cols, !op.dlogits.empty());
}

Status run(Device& device, const contract::SumOfSquares& op) {
  for (size_t i = 0; i < op.x.size(); ++i) {
    const View& x = op.x[i];
    NARU_ASSIGN(const MemoryPlace squares, device.scratch(0, x.rows * 4));
    NARU_TRY(device.launch("row_squares", row_groups(device, x.rows, x.cols), x, squares, x.rows, x.cols));
    NARU_TRY(device.launch("tree", {}, squares, device.place(op.out.slice_rows(static_cast<int64_t>(i), 1)), x.rows));
  }
  return {};
}

Status run(Device& device, const contract::ColumnSum& op) {
  return device.launch_rows("column_sum", op.x.cols, op.x, device.place(op.out), op.x.rows, op.x.cols);
}

Status run(Device& device, const contract::RmsNormGrad& op) {
  const int64_t rows = op.x.rows, cols = op.x.cols;
  NARU_ASSIGN(const MemoryPlace r, device.scratch(0, rows * 4));
  NARU_TRY(device.launch("inverse_rms", row_groups(device, rows, cols), op.x, r, rows, cols, op.eps));
  if (!op.dweight.empty()) {  // first, since dx may be dy
    NARU_TRY(device.launch_rows("rms_norm_dweight", cols, op.x, op.dy, r, device.place(op.dweight), rows, cols));
  }
  return device.launch("rms_norm_dx", row_groups(device, rows, cols), op.x, op.weight, op.dy, r, op.dx, rows, cols);
}

Status run(Device& device, const contract::CombineGrad& op) {
  return device.launch("combine_grad", row_groups(device, op.dy.rows, op.dout.cols), op.y, op.gates, op.dout, op.dy,
                       op.dgates, op.dy.rows, op.dout.cols, op.gates.cols);
}

Status run(Device& device, const contract::EmbedGrad& op) {
  NARU_ASSIGN(const MemoryPlace marks, device.watch(op.ids.rows, no_row_fails(op.kName)));
  return device.launch_elements("embed_grad", op.ids.rows, op.out.cols, op.ids, op.dy, op.out, marks, op.ids.rows,
                                op.out.rows, op.out.cols);
}

}  // namespace naru::gpu
