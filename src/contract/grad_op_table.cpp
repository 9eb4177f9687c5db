// Cost and validity of the ops of training (contract/grad_ops.h).
#include "contract/op_checks.h"

namespace naru::contract {
namespace {

double count_of(const View& view) {
  return static_cast<double>(view.rows * view.cols);
}

// `flops_each` operations for each element of `view`, and `operands` values read or written for each.
Cost elementwise(double flops_each, const View& view, double operands) {
  return {flops_each * count_of(view), operands * 4 * count_of(view)};
}

void check_float_rule(const char* op, Rule rule) {
  NARU_CHECK(rule == Rule::kF32 || rule == Rule::kBF16, op, rule_name(rule));
}

}  // namespace

Cost grad_cost(const Pack& op) {
  const double n = static_cast<double>(op.out->groups * op.out->outputs * op.out->inputs);
  return {0, 4 * n + static_cast<double>(op.out->bytes)};
}
void grad_validate(const Pack& op) {
  NARU_CHECK(op.out != nullptr && static_cast<int64_t>(op.groups.size()) == op.out->groups, op.groups.size());
  check_float_rule("pack", op.out->rule);
  const int64_t rows = op.is_transposed ? op.out->inputs : op.out->outputs;
  const int64_t cols = op.is_transposed ? op.out->outputs : op.out->inputs;
  for (const View& group : op.groups) check_f32("pack", "group", group, rows, cols);
}

Cost grad_cost(const WeightGrad& op) {
  double bytes = view_bytes(op.dy) + view_bytes(op.x);
  for (const View& out : op.out) bytes += 2 * view_bytes(out);
  return {2 * count_of(op.dy) * static_cast<double>(op.x.cols), bytes};
}
void grad_validate(const WeightGrad& op) {
  check_float_rule("weight_grad", op.rule);
  NARU_CHECK(!op.out.empty() && op.rows_share >= 1 && op.dy.rows == op.x.rows * op.rows_share, op.dy.rows, op.x.rows);
  check_f32("weight_grad", "dy", op.dy, op.dy.rows, op.dy.cols);
  check_f32("weight_grad", "x", op.x, op.x.rows, op.x.cols);
  if (!op.groups.empty()) check_view("weight_grad", "groups", op.groups, DType::kI32, op.dy.rows, 1);
  for (const View& out : op.out) check_f32("weight_grad", "out", out, op.dy.cols, op.x.cols);
}

Cost grad_cost(const Product& op) {
  const double k = static_cast<double>(op.a_transposed ? op.a.rows : op.a.cols);
  return {2 * count_of(op.out) * k, view_bytes(op.a) + view_bytes(op.b) + view_bytes(op.out)};
}
void grad_validate(const Product& op) {
  check_float_rule("product", op.rule);
  const int64_t k = op.a_transposed ? op.a.rows : op.a.cols;
  const auto check = [&](const char* name, const View& view, bool is_transposed, int64_t n) {
    check_f32("product", name, view, is_transposed ? k : n, is_transposed ? n : k);
  };
  check("a", op.a, op.a_transposed, op.out.rows);
  check("b", op.b, op.b_transposed, op.out.cols);
  check_f32("product", "out", op.out, op.out.rows, op.out.cols);
}

Cost grad_cost(const ColumnSum& op) {
  return elementwise(2, op.x, 1);
}
void grad_validate(const ColumnSum& op) {
  check_f32("column_sum", "x", op.x, op.x.rows, op.out.cols);
  check_f32("column_sum", "out", op.out, 1, op.x.cols);
}

Cost grad_cost(const SumSlots& op) {
  return elementwise(1, op.x, 1);
}
void grad_validate(const SumSlots& op) {
  NARU_CHECK(op.out.rows > 0 ? op.x.rows % op.out.rows == 0 : op.x.rows == 0, op.x.rows, op.out.rows);
  check_f32("sum_slots", "x", op.x, op.x.rows, op.out.cols);
  check_f32("sum_slots", "out", op.out, op.out.rows, op.x.cols);
}

Cost grad_cost(const RmsNormGrad& op) {
  return elementwise(12, op.x, 3);
}
void grad_validate(const RmsNormGrad& op) {
  const char* name = "rms_norm_grad";
  check_f32(name, "x", op.x, op.dx.rows, op.dx.cols);
  check_f32(name, "weight", op.weight, 1, op.dx.cols);
  check_f32(name, "dy", op.dy, op.dx.rows, op.dx.cols);
  check_f32(name, "dx", op.dx, op.x.rows, op.x.cols);
  if (!op.dweight.empty()) check_f32(name, "dweight", op.dweight, 1, op.dx.cols);
}

Cost grad_cost(const RopeGrad& op) {
  return elementwise(3, op.dx, 2);
}
void grad_validate(const RopeGrad& op) {
  NARU_CHECK(op.rows_per_token >= 1 && op.dx.rows == op.cos.rows * op.rows_per_token, op.dx.rows, op.cos.rows);
  check_f32("rope_grad", "dy", op.dy, op.dx.rows, 2 * op.cos.cols);
  check_f32("rope_grad", "dx", op.dx, op.dy.rows, 2 * op.cos.cols);
  check_f32("rope_grad", "sin", op.sin, op.cos.rows, op.cos.cols);
}

Cost grad_cost(const AttentionGrad& op) {
  Cost cost;
  const double width = static_cast<double>(3 * op.key.shape.width + 2 * op.out.cols);
  for (const SequenceRows& rows : op.sequences) {
    const double pairs = 0.5 * static_cast<double>(rows.n_rows) * static_cast<double>(rows.n_rows + 1);
    cost.flops += 2 * width * pairs * static_cast<double>(op.heads);
  }
  cost.bytes = 2 * (view_bytes(op.q) + view_bytes(op.out) + view_bytes(op.dk) + view_bytes(op.dv));
  return cost;
}
void grad_validate(const AttentionGrad& op) {
  const char* name = "attention_grad";
  check_stream(name, op.key);
  check_stream(name, op.value);
  NARU_CHECK(op.key.shape.dtype == op.value.shape.dtype && op.key.shape.heads == op.value.shape.heads, name);
  NARU_CHECK(op.heads > 0 && op.heads % op.key.shape.heads == 0 && op.q.rows % op.heads == 0, name, op.heads);
  const int64_t rows = op.q.rows, width = op.out.cols;
  const int64_t key_rows = rows / op.heads * op.key.shape.heads;
  check_f32(name, "q", op.q, rows, op.key.shape.width);
  check_f32(name, "out", op.out, rows, width);
  check_f32(name, "stats", op.stats, rows, 2);
  check_f32(name, "dout", op.dout, rows, width);
  check_f32(name, "dq", op.dq, rows, op.key.shape.width);
  check_f32(name, "dk", op.dk, key_rows, op.key.shape.width);
  check_f32(name, "dv", op.dv, key_rows, width);
  NARU_CHECK(op.key.shape.use != CacheUse::kValue && op.value.shape.use != CacheUse::kKey, name);
  const bool is_shared = op.value.shape.use == CacheUse::kKeyAndValue;
  NARU_CHECK(is_shared ? width <= op.value.shape.width : width == op.value.shape.width, name, width);
  check_sequences(name, op.sequences, rows / op.heads);
  for (const SequenceRows& s : op.sequences) NARU_CHECK(s.position_begin == 0, name, s.position_begin);
}

Cost grad_cost(const SiluMulGrad& op) {
  return elementwise(24, op.gate, 5);
}
void grad_validate(const SiluMulGrad& op) {
  const char* name = "silu_mul_grad";
  const int64_t rows = op.gate.rows, cols = op.gate.cols;
  check_f32(name, "gate", op.gate, rows, cols);
  check_f32(name, "up", op.up, rows, cols);
  check_f32(name, "dy", op.dy, rows, cols);
  check_f32(name, "dgate", op.dgate, rows, cols);
  check_f32(name, "dup", op.dup, rows, cols);
}

Cost grad_cost(const CombineGrad& op) {
  return elementwise(3, op.y, 2);
}
void grad_validate(const CombineGrad& op) {
  const char* name = "combine_grad";
  const int64_t rows = op.dout.rows, n_chosen = op.gates.cols;
  check_f32(name, "dout", op.dout, rows, op.dout.cols);
  check_f32(name, "gates", op.gates, rows, n_chosen);
  check_f32(name, "y", op.y, rows * n_chosen, op.dout.cols);
  check_f32(name, "dy", op.dy, rows * n_chosen, op.dout.cols);
  check_f32(name, "dgates", op.dgates, rows, n_chosen);
}

Cost grad_cost(const RouteGrad& op) {
  return elementwise(20, op.logits, 3);
}
void grad_validate(const RouteGrad& op) {
  const char* name = "route_grad";
  const int64_t rows = op.logits.rows, n_experts = op.logits.cols, n_chosen = op.experts.cols;
  check_f32(name, "logits", op.logits, rows, n_experts);
  check_view(name, "experts", op.experts, DType::kI32, rows, n_chosen);
  check_f32(name, "dgates", op.dgates, rows, n_chosen);
  if (!op.dscores.empty()) check_f32(name, "dscores", op.dscores, rows, n_experts);
  check_f32(name, "dlogits", op.dlogits, rows, n_experts);
}

Cost grad_cost(const BalanceLoss& op) {
  return elementwise(24, op.logits, 2);
}
void grad_validate(const BalanceLoss& op) {
  const char* name = "balance_loss";
  check_f32(name, "logits", op.logits, op.logits.rows, op.logits.cols);
  check_view(name, "experts", op.experts, DType::kI32, op.logits.rows, op.experts.cols);
  check_f32(name, "loss", op.loss, static_cast<int64_t>(op.sequences.size()), 1);
  check_f32(name, "dscores", op.dscores, op.logits.rows, op.logits.cols);
  check_sequences(name, op.sequences, op.logits.rows);
}

Cost grad_cost(const CrossEntropy& op) {
  return elementwise(18, op.logits, op.dlogits.empty() ? 1 : 2);
}
void grad_validate(const CrossEntropy& op) {
  const char* name = "cross_entropy";
  check_f32(name, "logits", op.logits, op.logits.rows, op.logits.cols);
  check_view(name, "targets", op.targets, DType::kI32, op.logits.rows, 1);
  check_f32(name, "weights", op.weights, op.logits.rows, 1);
  check_f32(name, "loss", op.loss, op.logits.rows, 1);
  if (!op.dlogits.empty()) check_f32(name, "dlogits", op.dlogits, op.logits.rows, op.logits.cols);
}

Cost grad_cost(const EmbedGrad& op) {
  return elementwise(1, op.dy, 3);
}
void grad_validate(const EmbedGrad& op) {
  check_view("embed_grad", "ids", op.ids, DType::kI32, op.dy.rows, 1);
  check_f32("embed_grad", "dy", op.dy, op.ids.rows, op.out.cols);
  check_f32("embed_grad", "out", op.out, op.out.rows, op.dy.cols);
}

Cost grad_cost(const Fill& op) {
  return elementwise(0, op.out, 1);
}
void grad_validate(const Fill& op) {
  check_f32("fill", "out", op.out, op.out.rows, op.out.cols);
}

Cost grad_cost(const Axpby& op) {
  return elementwise(3, op.out, 3);
}
void grad_validate(const Axpby& op) {
  check_f32("axpby", "x", op.x, op.out.rows, op.out.cols);
  if (!op.y.empty()) check_f32("axpby", "y", op.y, op.out.rows, op.out.cols);
  check_f32("axpby", "out", op.out, op.x.rows, op.x.cols);
}

Cost grad_cost(const SumOfSquares& op) {
  return elementwise(2, op.x, 1);
}
void grad_validate(const SumOfSquares& op) {
  check_f32("sum_of_squares", "x", op.x, op.x.rows, op.x.cols);
  check_f32("sum_of_squares", "out", op.out, 1, 1);
}

Cost grad_cost(const AdamW& op) {
  return elementwise(14, op.weight, 7);
}
void grad_validate(const AdamW& op) {
  const int64_t rows = op.weight.rows, cols = op.weight.cols;
  check_f32("adamw", "weight", op.weight, rows, cols);
  check_f32("adamw", "grad", op.grad, rows, cols);
  check_f32("adamw", "m", op.m, rows, cols);
  check_f32("adamw", "v", op.v, rows, cols);
}

}  // namespace naru::contract
