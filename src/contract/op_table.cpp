#include "contract/op_table.h"

#include <algorithm>

#include "contract/op_checks.h"

namespace naru::contract {
namespace {

// The visitors below share one pattern: a lambda for each op.
template <typename... Fs>
struct Visitor : Fs... {
  using Fs::operator()...;
};
template <typename... Fs>
Visitor(Fs...) -> Visitor<Fs...>;

void validate_attention(const Attention& op) {
  const char* name = "attention";
  check_stream(name, op.key);
  check_stream(name, op.value);
  NARU_CHECK(op.key.shape.use != CacheUse::kValue && op.value.shape.use != CacheUse::kKey, name);
  NARU_CHECK(op.key.shape.dtype == op.value.shape.dtype && op.key.shape.heads == op.value.shape.heads, name);
  NARU_CHECK(op.heads > 0 && op.heads % op.key.shape.heads == 0, name, op.heads, op.key.shape.heads);
  check_f32(name, "q", op.q, op.q.rows, op.key.shape.width);
  NARU_CHECK(op.q.rows % op.heads == 0, name, op.q.rows, op.heads);
  const bool is_shared = op.value.shape.use == CacheUse::kKeyAndValue;
  NARU_CHECK(is_shared ? op.out.cols <= op.value.shape.width : op.out.cols == op.value.shape.width, name, op.out.cols);
  check_f32(name, "out", op.out, op.q.rows, op.out.cols);
  if (!op.stats.empty()) check_f32(name, "stats", op.stats, op.q.rows, 2);
  check_sequences(name, op.sequences, op.q.rows / op.heads);
}

void validate_matmul(const Matmul& op) {
  NARU_CHECK(op.n_targets >= 1 && op.n_targets <= Matmul::kTargetsMax, op.n_targets);
  for (int i = 0; i < op.n_targets; ++i) {
    const MatmulTarget& target = op.targets[i];
    NARU_CHECK(target.weight != nullptr && target.weight->groups == 1);
    check_f32("matmul", "x", op.x, op.x.rows, target.weight->inputs);
    check_f32("matmul", "out", target.out, op.x.rows, target.weight->outputs);
    if (!target.bias.empty()) check_f32("matmul", "bias", target.bias, 1, target.weight->outputs);
  }
}

void validate_route(const Route& op) {
  const int64_t n_rows = op.logits.rows, n_experts = op.logits.cols, n_chosen = op.experts.cols;
  check_f32("route", "logits", op.logits, n_rows, n_experts);
  if (!op.bias.empty()) check_f32("route", "bias", op.bias, 1, n_experts);
  check_view("route", "experts", op.experts, DType::kI32, n_rows, n_chosen);
  check_f32("route", "gates", op.gates, n_rows, n_chosen);
  NARU_CHECK(op.n_group >= 1 && n_experts % op.n_group == 0, n_experts, op.n_group);
  NARU_CHECK(op.topk_group >= 1 && op.topk_group <= op.n_group, op.topk_group, op.n_group);
  const int64_t n_present = op.group_score == GroupScore::kNone ? n_experts : n_experts / op.n_group * op.topk_group;
  NARU_CHECK(n_chosen >= 1 && n_chosen <= n_present, n_chosen, n_present);
}

Cost attention_cost(const Attention& op) {
  Cost cost;
  const double width = static_cast<double>(op.key.shape.width + op.out.cols);
  for (const SequenceRows& rows : op.sequences) {
    const double depth_mean = static_cast<double>(rows.position_begin) + 0.5 * static_cast<double>(rows.n_rows + 1);
    cost.flops += 2 * width * depth_mean * static_cast<double>(rows.n_rows * op.heads);
    cost.bytes += width * static_cast<double>(dtype_info(op.key.shape.dtype).block_bytes * op.key.shape.heads *
                                              (rows.position_begin + rows.n_rows));
  }
  cost.bytes += view_bytes(op.q) + view_bytes(op.out);
  return cost;
}

}  // namespace

std::string_view op_name(int op_index) {
  static constexpr std::string_view kNames[] = {
      "embed",          "rms_norm",      "matmul",        "grouped_matmul", "rope_table",    "rope",
      "round_bf16",     "cache_write",   "attention",     "silu_mul",       "add",           "route",
      "combine",        "log_prob",      "pack",          "weight_grad",    "product",       "column_sum",
      "sum_slots",      "rms_norm_grad", "rope_grad",     "attention_grad", "silu_mul_grad", "combine_grad",
      "route_grad",     "balance_loss",  "cross_entropy", "embed_grad",     "fill",          "axpby",
      "sum_of_squares", "adamw"};
  static_assert(sizeof(kNames) / sizeof(kNames[0]) == kOpCount);
  NARU_CHECK(op_index >= 0 && op_index < kOpCount, op_index);
  return kNames[op_index];
}

Cost cost(const Op& op) {
  const auto elementwise = [](double flops_each, const View& out, double operands) {
    const double n = static_cast<double>(out.rows * out.cols);
    return Cost{flops_each * n, operands * 4 * n};
  };
  return std::visit(Visitor{
                        [](const Embed& o) {
                          return Cost{0, 2 * view_bytes(o.out)};
                        },
                        [&](const RmsNorm& o) { return elementwise(4, o.out, 2); },
                        [](const Matmul& o) {
                          Cost c{0, view_bytes(o.x)};
                          for (int i = 0; i < o.n_targets; ++i) {
                            const PackedMatrix& w = *o.targets[i].weight;
                            c.flops += 2.0 * static_cast<double>(o.x.rows) * static_cast<double>(w.outputs * w.inputs);
                            c.bytes += static_cast<double>(w.bytes) + view_bytes(o.targets[i].out);
                          }
                          return c;
                        },
                        [](const GroupedMatmul& o) {
                          const PackedMatrix& w = *o.weight;
                          const double used =
                              static_cast<double>(std::min(o.out.rows, w.groups)) / static_cast<double>(w.groups);
                          return Cost{2.0 * static_cast<double>(o.out.rows) * static_cast<double>(w.outputs * w.inputs),
                                      used * static_cast<double>(w.bytes) + view_bytes(o.x) + view_bytes(o.out)};
                        },
                        [&](const RopeTable& o) { return elementwise(80, o.cos, 2); },
                        [&](const Rope& o) { return elementwise(3, o.x, 2); },
                        [&](const RoundBF16& o) { return elementwise(0, o.out, 2); },
                        [&](const CacheWrite& o) { return elementwise(0, o.x, 2); },
                        [](const Attention& o) { return attention_cost(o); },
                        [&](const SiluMul& o) { return elementwise(16, o.out, 3); },
                        [&](const Add& o) { return elementwise(1, o.out, 3); },
                        [&](const Route& o) { return elementwise(16, o.logits, 2); },
                        [](const Combine& o) {
                          return Cost{2 * view_bytes(o.y) / 4, view_bytes(o.y) + 3 * view_bytes(o.out)};
                        },
                        [&](const LogProb& o) { return elementwise(14, o.logits, 1); },
                        [](const auto& o) { return grad_cost(o); },
                    },
                    op);
}

void validate(const Op& op) {
  std::visit(Visitor{
                 [](const Embed& o) {
                   NARU_CHECK(o.table != nullptr && o.table->groups == 1);
                   check_view("embed", "ids", o.ids, DType::kI32, o.ids.rows, 1);
                   check_f32("embed", "out", o.out, o.ids.rows, o.table->inputs);
                 },
                 [](const RmsNorm& o) {
                   check_f32("rms_norm", "x", o.x, o.out.rows, o.out.cols);
                   check_f32("rms_norm", "weight", o.weight, 1, o.out.cols);
                   check_f32("rms_norm", "out", o.out, o.x.rows, o.x.cols);
                 },
                 [](const Matmul& o) { validate_matmul(o); },
                 [](const GroupedMatmul& o) {
                   NARU_CHECK(o.weight != nullptr && o.rows_share >= 1 && o.out.rows == o.x.rows * o.rows_share);
                   check_f32("grouped_matmul", "x", o.x, o.x.rows, o.weight->inputs);
                   check_f32("grouped_matmul", "out", o.out, o.out.rows, o.weight->outputs);
                   if (!o.groups.empty()) check_view("grouped_matmul", "groups", o.groups, DType::kI32, o.out.rows, 1);
                 },
                 [](const RopeTable& o) {
                   check_view("rope_table", "positions", o.positions, DType::kI32, o.cos.rows, 1);
                   check_f32("rope_table", "frequencies", o.frequencies, 1, o.cos.cols);
                   check_f32("rope_table", "cos", o.cos, o.positions.rows, o.frequencies.cols);
                   check_f32("rope_table", "sin", o.sin, o.positions.rows, o.frequencies.cols);
                 },
                 [](const Rope& o) {
                   NARU_CHECK(o.rows_per_token >= 1 && o.x.rows == o.cos.rows * o.rows_per_token, o.x.rows, o.cos.rows);
                   check_f32("rope", "x", o.x, o.x.rows, 2 * o.cos.cols);
                   check_f32("rope", "sin", o.sin, o.cos.rows, o.cos.cols);
                   check_f32("rope", "out", o.out, o.x.rows, o.x.cols);
                 },
                 [](const RoundBF16& o) { check_f32("round_bf16", "x", o.x, o.out.rows, o.out.cols); },
                 [](const CacheWrite& o) {
                   check_stream("cache_write", o.stream);
                   NARU_CHECK(o.column >= 0 && o.column + o.x.cols <= o.stream.shape.width, o.column, o.x.cols);
                   int64_t n_rows = 0;
                   for (const SequenceRows& rows : o.sequences) n_rows += rows.n_rows;
                   NARU_CHECK(o.x.rows == n_rows || o.x.rows == n_rows * o.stream.shape.heads, o.x.rows, n_rows);
                   check_sequences("cache_write", o.sequences, n_rows);
                 },
                 [](const Attention& o) { validate_attention(o); },
                 [](const SiluMul& o) {
                   check_f32("silu_mul", "gate", o.gate, o.out.rows, o.out.cols);
                   check_f32("silu_mul", "up", o.up, o.out.rows, o.out.cols);
                 },
                 [](const Add& o) {
                   check_f32("add", "a", o.a, o.out.rows, o.out.cols);
                   check_f32("add", "b", o.b, o.out.rows, o.out.cols);
                 },
                 [](const Route& o) { validate_route(o); },
                 [](const Combine& o) {
                   NARU_CHECK(o.y.rows == o.gates.rows * o.gates.cols, o.y.rows, o.gates.rows, o.gates.cols);
                   check_f32("combine", "y", o.y, o.y.rows, o.out.cols);
                   check_f32("combine", "gates", o.gates, o.out.rows, o.gates.cols);
                   check_f32("combine", "residual", o.residual, o.out.rows, o.out.cols);
                   if (!o.shared.empty()) check_f32("combine", "shared", o.shared, o.out.rows, o.out.cols);
                 },
                 [](const LogProb& o) {
                   check_view("log_prob", "targets", o.targets, DType::kI32, o.logits.rows, 1);
                   check_f32("log_prob", "out", o.out, o.logits.rows, 1);
                 },
                 [](const auto& o) { grad_validate(o); },
             },
             op);
}

}  // namespace naru::contract
