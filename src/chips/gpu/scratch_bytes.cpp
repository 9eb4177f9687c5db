#include "chips/gpu/scratch_bytes.h"

#include <algorithm>

#include "base/checked.h"
#include "chips/gpu/ops.h"

namespace naru::gpu {
namespace {

// Of dots that have several segments.
int64_t parts_bytes(int64_t inputs, int64_t rows, int64_t cols) {
  const int64_t segments = segments_of(inputs);
  return segments > 1 ? segments * rows * cols * 4 : 0;
}

// Parts of dots; activations as integers, and their scales.
ScratchSlots slots_of_product(const contract::PackedMatrix& weight, int64_t rows, int64_t slots) {
  if (slots == 0 || weight.outputs == 0) return {};
  const bool is_w8a8 = weight.rule == contract::Rule::kW8A8;
  const int64_t parts = is_w8a8 ? 0 : parts_bytes(weight.inputs, slots, weight.outputs);
  if (!contract::has_integer_activations(weight.rule)) return {parts};
  return {parts, integer_bytes(weight, rows), scale_bytes(weight, rows)};
}

// Targets come one after another.
template <typename O>
ScratchSlots slots_of_targets(const O& op, int64_t slots) {
  ScratchSlots most{};
  for (int i = 0; i < op.n_targets; ++i) {
    const ScratchSlots one = slots_of_product(*op.targets[i].weight, op.x.rows, slots);
    for (size_t slot = 0; slot < kScratchSlots; ++slot) most[slot] = std::max(most[slot], one[slot]);
  }
  return most;
}
ScratchSlots slots_of(const contract::Matmul& op) {
  return slots_of_targets(op, op.x.rows);
}
ScratchSlots slots_of(const contract::GroupedMatmul& op) {
  return slots_of_targets(op, op.x.rows * op.rows_share);
}

ScratchSlots slots_of(const contract::Product& op) {
  return {parts_bytes(op.a_transposed ? op.a.rows : op.a.cols, op.out.rows, op.out.cols)};
}
// Beside the parts lists of each group's slots, and how many it has.
ScratchSlots slots_of(const contract::WeightGrad& op) {
  const int64_t parts = parts_bytes(op.dy.rows, op.dy.cols, op.x.cols), n_groups = std::ssize(op.out);
  if (n_groups == 1 && op.groups.empty() && op.rows_share == 1) return {parts};
  return {parts, n_groups * op.dy.rows * 4, n_groups * 4};
}
ScratchSlots slots_of(const contract::Route& op) {
  return {op.logits.rows * op.logits.cols * 12};
}
ScratchSlots slots_of(const contract::RouteGrad& op) {
  return {op.logits.rows * op.logits.cols * 16};
}
ScratchSlots slots_of(const contract::BalanceLoss& op) {
  return {op.logits.rows * op.logits.cols * 4, op.logits.rows * 4, op.logits.cols * 12};
}
// Two rows of a document's positions for each of its queries, and a flag, of the query heads of a key head.
ScratchSlots slots_of(const contract::AttentionGrad& op) {
  int64_t most = 0;
  for (const contract::SequenceRows& rows : op.sequences) most = std::max(most, rows.n_rows * rows.end_position());
  const int64_t heads = op.heads / op.key.shape.heads;
  return {heads * most * 4, heads * most * 4, heads * 4};
}
ScratchSlots slots_of(const contract::RmsNormGrad& op) {
  return {op.x.rows * 4};
}
ScratchSlots slots_of(const contract::SumOfSquares& op) {
  int64_t most = 0;
  for (const View& x : op.x) most = std::max(most, x.rows);
  return {most * 4};
}
template <typename O>
ScratchSlots slots_of(const O&) {
  return {};
}

}  // namespace

ScratchSlots scratch_slots(const contract::Op& op) {
  return std::visit([](const auto& o) { return slots_of(o); }, op);
}

int64_t total_bytes(const ScratchSlots& slots) {
  int64_t total = 0;
  for (const int64_t bytes : slots) total += round_up(bytes, kScratchAlignment);
  return total;
}

}  // namespace naru::gpu
