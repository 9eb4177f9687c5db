#include "chips/gpu/scratch_bytes.h"

#include <algorithm>

#include "chips/gpu/ops.h"

namespace naru::gpu {
namespace {

// Of dots that have several segments.
int64_t parts_bytes(int64_t inputs, int64_t rows, int64_t cols) {
  const int64_t segments = segments_of(inputs);
  return segments > 1 ? segments * rows * cols * 4 : 0;
}

// Parts of dots, and activations as integers with their scales.
int64_t product_bytes(const contract::PackedMatrix& weight, int64_t rows, int64_t slots) {
  const int64_t parts = weight.rule == contract::Rule::kW8A8 ? 0 : parts_bytes(weight.inputs, slots, weight.outputs);
  return parts + activation_bytes(weight, rows);
}

int64_t bytes_of(const contract::Matmul& op) {
  int64_t most = 0;
  for (int i = 0; i < op.n_targets; ++i)
    most = std::max(most, product_bytes(*op.targets[i].weight, op.x.rows, op.x.rows));
  return most;
}
int64_t bytes_of(const contract::GroupedMatmul& op) {
  int64_t most = 0;
  for (int i = 0; i < op.n_targets; ++i)
    most = std::max(most, product_bytes(*op.targets[i].weight, op.x.rows, op.x.rows * op.rows_share));
  return most;
}
int64_t bytes_of(const contract::Product& op) {
  return parts_bytes(op.a_transposed ? op.a.rows : op.a.cols, op.out.rows, op.out.cols);
}
int64_t bytes_of(const contract::WeightGrad& op) {
  if (op.out.size() == 1 && op.groups.empty() && op.rows_share == 1) {
    return parts_bytes(op.dy.rows, op.dy.cols, op.x.cols);
  }
  return (op.dy.rows + 1) * static_cast<int64_t>(op.out.size()) * 4 + parts_bytes(op.dy.rows, op.dy.cols, op.x.cols);
}
int64_t bytes_of(const contract::Route& op) {
  return op.logits.rows * op.logits.cols * 12;
}
int64_t bytes_of(const contract::RouteGrad& op) {
  return op.logits.rows * op.logits.cols * 16;
}
int64_t bytes_of(const contract::BalanceLoss& op) {
  return op.logits.rows * (op.logits.cols + 1) * 4 + op.logits.cols * 12;
}
int64_t bytes_of(const contract::AttentionGrad& op) {
  int64_t longest = 0;
  for (const contract::SequenceRows& rows : op.sequences) longest = std::max(longest, rows.n_rows);
  return op.heads / op.key.shape.heads * (2 * longest * longest + 1) * 4;
}
int64_t bytes_of(const contract::RmsNormGrad& op) {
  return op.x.rows * 4;
}
template <typename O>
int64_t bytes_of(const O&) {
  return 0;
}

}  // namespace

int64_t scratch_bytes(const contract::Op& op) {
  return std::visit([](const auto& o) { return bytes_of(o); }, op);
}

}  // namespace naru::gpu
