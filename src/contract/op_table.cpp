// Names, and cost and validity of the ops of a forward pass (contract/ops.h).
#include "contract/op_table.h"

#include <algorithm>
#include <array>
#include <type_traits>

#include "contract/op_checks.h"

namespace naru::contract {
namespace {

template <typename... O>
constexpr std::array<std::string_view, sizeof...(O)> names_of(std::type_identity<std::variant<O...>>) {
  return {O::kName...};
}
constexpr auto kNames = names_of(std::type_identity<Op>{});

constexpr bool names_differ() {
  for (size_t i = 0; i < kNames.size(); ++i) {
    if (std::find(kNames.begin(), kNames.begin() + i, kNames[i]) != kNames.begin() + i) return false;
  }
  return true;
}
static_assert(names_differ());

}  // namespace

template <>
Cost cost(const Embed& op) {
  return {0, 2 * view_bytes(op.out)};
}
template <>
void validate(const Embed& op) {
  NARU_CHECK(op.table != nullptr && op.table->groups == 1);
  check_view(op.kName, "ids", op.ids, DType::kI32, op.ids.rows, 1);
  check_f32(op.kName, "out", op.out, op.ids.rows, op.table->inputs);
}

template <>
Cost cost(const RmsNorm& op) {
  return elementwise(4, op.out, 2);
}
template <>
void validate(const RmsNorm& op) {
  check_f32(op.kName, "x", op.x, op.out.rows, op.out.cols);
  check_f32(op.kName, "weight", op.weight, 1, op.out.cols);
  check_f32(op.kName, "out", op.out, op.x.rows, op.x.cols);
}

template <>
Cost cost(const Matmul& op) {
  Cost cost{0, view_bytes(op.x)};
  for (int i = 0; i < op.n_targets; ++i) {
    const PackedMatrix& weight = *op.targets[i].weight;
    cost.flops += 2.0 * static_cast<double>(op.x.rows) * static_cast<double>(weight.outputs * weight.inputs);
    cost.bytes += static_cast<double>(weight.bytes) + view_bytes(op.targets[i].out);
  }
  return cost;
}
template <>
void validate(const Matmul& op) {
  NARU_CHECK(op.n_targets >= 1 && op.n_targets <= Matmul::kTargetsMax, op.n_targets);
  for (int i = 0; i < op.n_targets; ++i) {
    const MatmulTarget& target = op.targets[i];
    NARU_CHECK(target.weight != nullptr && target.weight->groups == 1);
    check_f32(op.kName, "x", op.x, op.x.rows, target.weight->inputs);
    check_f32(op.kName, "out", target.out, op.x.rows, target.weight->outputs);
    if (!target.bias.empty()) check_f32(op.kName, "bias", target.bias, 1, target.weight->outputs);
  }
}

template <>
Cost cost(const GroupedMatmul& op) {
  const int64_t slots = op.x.rows * op.rows_share;
  Cost cost{0, view_bytes(op.x)};
  for (int i = 0; i < op.n_targets; ++i) {
    const PackedMatrix& weight = *op.targets[i].weight;
    const double used = static_cast<double>(std::min(slots, weight.groups)) / static_cast<double>(weight.groups);
    cost.flops += 2.0 * static_cast<double>(slots) * static_cast<double>(weight.outputs * weight.inputs);
    cost.bytes += used * static_cast<double>(weight.bytes) + view_bytes(op.targets[i].out);
  }
  return cost;
}
template <>
void validate(const GroupedMatmul& op) {
  NARU_CHECK(op.n_targets >= 1 && op.n_targets <= GroupedMatmul::kTargetsMax && op.rows_share >= 1, op.n_targets);
  const int64_t slots = op.x.rows * op.rows_share;
  for (int i = 0; i < op.n_targets; ++i) {
    const GroupedTarget& target = op.targets[i];
    NARU_CHECK(target.weight != nullptr && target.weight->groups == op.targets[0].weight->groups, op.kName, i);
    check_f32(op.kName, "x", op.x, op.x.rows, target.weight->inputs);
    check_f32(op.kName, "out", target.out, slots, target.weight->outputs);
  }
  if (!op.groups.empty()) check_view(op.kName, "groups", op.groups, DType::kI32, slots, 1);
}

template <>
Cost cost(const RopeTable& op) {
  return elementwise(80, op.cos, 2);
}
template <>
void validate(const RopeTable& op) {
  check_view(op.kName, "positions", op.positions, DType::kI32, op.cos.rows, 1);
  check_f32(op.kName, "frequencies", op.frequencies, 1, op.cos.cols);
  check_f32(op.kName, "cos", op.cos, op.positions.rows, op.frequencies.cols);
  check_f32(op.kName, "sin", op.sin, op.positions.rows, op.frequencies.cols);
}

template <>
Cost cost(const Rope& op) {
  return elementwise(3, op.x, 2);
}
template <>
void validate(const Rope& op) {
  NARU_CHECK(op.rows_per_token >= 1 && op.x.rows == op.cos.rows * op.rows_per_token, op.x.rows, op.cos.rows);
  check_f32(op.kName, "x", op.x, op.x.rows, 2 * op.cos.cols);
  check_f32(op.kName, "sin", op.sin, op.cos.rows, op.cos.cols);
  check_f32(op.kName, "out", op.out, op.x.rows, op.x.cols);
}

template <>
Cost cost(const RoundBF16& op) {
  return elementwise(0, op.out, 2);
}
template <>
void validate(const RoundBF16& op) {
  check_f32(op.kName, "x", op.x, op.out.rows, op.out.cols);
}

template <>
Cost cost(const CacheWrite& op) {
  return elementwise(0, op.x, 2);
}
template <>
void validate(const CacheWrite& op) {
  check_stream(op.kName, op.stream);
  NARU_CHECK(op.column >= 0 && op.column + op.x.cols <= op.stream.shape.width, op.column, op.x.cols);
  const int64_t n_rows = op.sequences.end_row();
  NARU_CHECK(op.x.rows == n_rows || op.x.rows == n_rows * op.stream.shape.heads, op.x.rows, n_rows);
  check_sequences(op.kName, op.sequences, n_rows);
  int64_t n_written = 0;
  for (const SequenceRows& rows : op.sequences) n_written += rows.n_rows;
  NARU_CHECK(n_written >= n_rows, op.kName, "rows of no sequence", n_written, n_rows);
}

template <>
Cost cost(const Attention& op) {
  Cost cost;
  const double width = static_cast<double>(op.key.shape.width + op.out.cols);
  for (const SequenceRows& rows : op.sequences) {
    const double n_seen = seen_positions(rows, op.selected);
    const double n_read = std::min(n_seen, static_cast<double>(rows.position_begin + rows.n_rows));
    cost.flops += 2 * width * n_seen * static_cast<double>(op.heads);
    cost.bytes += width * n_read * static_cast<double>(dtype_info(op.key.shape.dtype).block_bytes * op.key.shape.heads);
  }
  cost.bytes += view_bytes(op.q) + view_bytes(op.out) + view_bytes(op.selected);
  return cost;
}
template <>
void validate(const Attention& op) {
  check_stream(op.kName, op.key);
  check_stream(op.kName, op.value);
  NARU_CHECK(op.key.shape.use != CacheUse::kValue && op.value.shape.use != CacheUse::kKey, op.kName);
  NARU_CHECK(op.key.shape.dtype == op.value.shape.dtype && op.key.shape.heads == op.value.shape.heads, op.kName);
  NARU_CHECK(op.heads > 0 && op.heads % op.key.shape.heads == 0, op.kName, op.heads, op.key.shape.heads);
  check_f32(op.kName, "q", op.q, op.q.rows, op.key.shape.width);
  NARU_CHECK(op.q.rows % op.heads == 0, op.kName, op.q.rows, op.heads);
  const bool is_shared = op.value.shape.use == CacheUse::kKeyAndValue;
  NARU_CHECK(is_shared ? op.out.cols <= op.value.shape.width : op.out.cols == op.value.shape.width, op.kName,
             op.out.cols);
  check_f32(op.kName, "out", op.out, op.q.rows, op.out.cols);
  if (!op.stats.empty()) check_f32(op.kName, "stats", op.stats, op.q.rows, 2);
  check_sequences(op.kName, op.sequences, op.q.rows / op.heads);
  check_selected(op.kName, op.selected, op.q.rows / op.heads);
}

template <>
Cost cost(const SiluMul& op) {
  return elementwise(16, op.out, 3);
}
template <>
void validate(const SiluMul& op) {
  check_f32(op.kName, "gate", op.gate, op.out.rows, op.out.cols);
  check_f32(op.kName, "up", op.up, op.out.rows, op.out.cols);
}

template <>
Cost cost(const Add& op) {
  return elementwise(1, op.out, 3);
}
template <>
void validate(const Add& op) {
  check_f32(op.kName, "a", op.a, op.out.rows, op.out.cols);
  check_f32(op.kName, "b", op.b, op.out.rows, op.out.cols);
}

template <>
Cost cost(const Route& op) {
  return elementwise(16, op.logits, 2);
}
template <>
void validate(const Route& op) {
  const int64_t n_rows = op.logits.rows, n_experts = op.logits.cols, n_chosen = op.experts.cols;
  check_f32(op.kName, "logits", op.logits, n_rows, n_experts);
  if (!op.bias.empty()) check_f32(op.kName, "bias", op.bias, 1, n_experts);
  check_view(op.kName, "experts", op.experts, DType::kI32, n_rows, n_chosen);
  check_f32(op.kName, "gates", op.gates, n_rows, n_chosen);
  NARU_CHECK(op.n_group >= 1 && n_experts % op.n_group == 0, n_experts, op.n_group);
  NARU_CHECK(op.topk_group >= 1 && op.topk_group <= op.n_group, op.topk_group, op.n_group);
  const int64_t n_present = op.group_score == GroupScore::kNone ? n_experts : n_experts / op.n_group * op.topk_group;
  NARU_CHECK(n_chosen >= 1 && n_chosen <= n_present, n_chosen, n_present);
}

template <>
Cost cost(const Combine& op) {
  return {2 * count_of(op.y), view_bytes(op.y) + 3 * view_bytes(op.out)};
}
template <>
void validate(const Combine& op) {
  NARU_CHECK(op.y.rows == op.gates.rows * op.gates.cols, op.y.rows, op.gates.rows, op.gates.cols);
  check_f32(op.kName, "y", op.y, op.y.rows, op.out.cols);
  check_f32(op.kName, "gates", op.gates, op.out.rows, op.gates.cols);
  check_f32(op.kName, "residual", op.residual, op.out.rows, op.out.cols);
  if (!op.shared.empty()) check_f32(op.kName, "shared", op.shared, op.out.rows, op.out.cols);
}

template <>
Cost cost(const LogProb& op) {
  return elementwise(14, op.logits, 1);
}
template <>
void validate(const LogProb& op) {
  check_view(op.kName, "targets", op.targets, DType::kI32, op.logits.rows, 1);
  check_f32(op.kName, "out", op.out, op.logits.rows, 1);
}

std::string_view op_name(int op_index) {
  NARU_CHECK(op_index >= 0 && op_index < kOpCount, op_index);
  return kNames[static_cast<size_t>(op_index)];
}

Cost cost(const Op& op) {
  return std::visit([](const auto& o) { return cost(o); }, op);
}

void validate(const Op& op) {
  std::visit([](const auto& o) { validate(o); }, op);
}

}  // namespace naru::contract
