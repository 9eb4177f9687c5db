// Cost and validity of the ops of training (contract/grad_ops.h).
#include "contract/op_checks.h"

namespace naru::contract {
namespace {

void check_float_rule(std::string_view op, Rule rule) {
  NARU_CHECK(rule == Rule::kF32 || rule == Rule::kBF16, op, rule_name(rule));
}

}  // namespace

template <>
Cost cost(const Pack& op) {
  const double n = static_cast<double>(op.out->groups * op.out->outputs * op.out->inputs);
  return {0, 4 * n + static_cast<double>(op.out->bytes)};
}
template <>
void validate(const Pack& op) {
  NARU_CHECK(op.out != nullptr && static_cast<int64_t>(op.groups.size()) == op.out->groups, op.groups.size());
  check_float_rule(op.kName, op.out->rule);
  const int64_t rows = op.is_transposed ? op.out->inputs : op.out->outputs;
  const int64_t cols = op.is_transposed ? op.out->outputs : op.out->inputs;
  for (const View& group : op.groups) check_f32(op.kName, "group", group, rows, cols);
}

template <>
Cost cost(const WeightGrad& op) {
  double bytes = view_bytes(op.dy) + view_bytes(op.x);
  for (const View& out : op.out) bytes += 2 * view_bytes(out);
  return {2 * count_of(op.dy) * static_cast<double>(op.x.cols), bytes};
}
template <>
void validate(const WeightGrad& op) {
  check_float_rule(op.kName, op.rule);
  NARU_CHECK(!op.out.empty() && op.rows_share >= 1 && op.dy.rows == op.x.rows * op.rows_share, op.dy.rows, op.x.rows);
  check_f32(op.kName, "dy", op.dy, op.dy.rows, op.dy.cols);
  check_f32(op.kName, "x", op.x, op.x.rows, op.x.cols);
  if (!op.groups.empty()) check_view(op.kName, "groups", op.groups, DType::kI32, op.dy.rows, 1);
  for (const View& out : op.out) check_f32(op.kName, "out", out, op.dy.cols, op.x.cols);
}

template <>
Cost cost(const Product& op) {
  const double k = static_cast<double>(op.a_transposed ? op.a.rows : op.a.cols);
  return {2 * count_of(op.out) * k, view_bytes(op.a) + view_bytes(op.b) + view_bytes(op.out)};
}
template <>
void validate(const Product& op) {
  check_float_rule(op.kName, op.rule);
  const int64_t k = op.a_transposed ? op.a.rows : op.a.cols;
  const auto check = [&](const char* name, const View& view, bool is_transposed, int64_t n) {
    check_f32(op.kName, name, view, is_transposed ? k : n, is_transposed ? n : k);
  };
  check("a", op.a, op.a_transposed, op.out.rows);
  check("b", op.b, op.b_transposed, op.out.cols);
  check_f32(op.kName, "out", op.out, op.out.rows, op.out.cols);
}

template <>
Cost cost(const ColumnSum& op) {
  return elementwise(2, op.x, 1);
}
template <>
void validate(const ColumnSum& op) {
  check_f32(op.kName, "x", op.x, op.x.rows, op.out.cols);
  check_f32(op.kName, "out", op.out, 1, op.x.cols);
}

template <>
Cost cost(const SumSlots& op) {
  return elementwise(1, op.x, 1);
}
template <>
void validate(const SumSlots& op) {
  NARU_CHECK(op.out.rows > 0 ? op.x.rows % op.out.rows == 0 : op.x.rows == 0, op.x.rows, op.out.rows);
  check_f32(op.kName, "x", op.x, op.x.rows, op.out.cols);
  check_f32(op.kName, "out", op.out, op.out.rows, op.x.cols);
}

template <>
Cost cost(const RmsNormGrad& op) {
  return elementwise(12, op.x, 3);
}
template <>
void validate(const RmsNormGrad& op) {
  check_f32(op.kName, "x", op.x, op.dx.rows, op.dx.cols);
  check_f32(op.kName, "weight", op.weight, 1, op.dx.cols);
  check_f32(op.kName, "dy", op.dy, op.dx.rows, op.dx.cols);
  check_f32(op.kName, "dx", op.dx, op.x.rows, op.x.cols);
  if (!op.dweight.empty()) check_f32(op.kName, "dweight", op.dweight, 1, op.dx.cols);
}

template <>
Cost cost(const RopeGrad& op) {
  return elementwise(3, op.dx, 2);
}
template <>
void validate(const RopeGrad& op) {
  NARU_CHECK(op.rows_per_token >= 1 && op.dx.rows == op.cos.rows * op.rows_per_token, op.dx.rows, op.cos.rows);
  check_f32(op.kName, "dy", op.dy, op.dx.rows, 2 * op.cos.cols);
  check_f32(op.kName, "dx", op.dx, op.dy.rows, 2 * op.cos.cols);
  check_f32(op.kName, "sin", op.sin, op.cos.rows, op.cos.cols);
}

template <>
Cost cost(const AttentionGrad& op) {
  Cost cost;
  const double width = static_cast<double>(3 * op.key.shape.width + 2 * op.out.cols);
  for (const SequenceRows& rows : op.sequences) {
    cost.flops += 2 * width * seen_positions(rows, op.selected) * static_cast<double>(op.heads);
  }
  cost.bytes = 2 * (view_bytes(op.q) + view_bytes(op.out) + view_bytes(op.dk) + view_bytes(op.dv));
  return cost;
}
template <>
void validate(const AttentionGrad& op) {
  check_stream(op.kName, op.key);
  check_stream(op.kName, op.value);
  NARU_CHECK(op.key.shape.dtype == op.value.shape.dtype && op.key.shape.heads == op.value.shape.heads, op.kName);
  NARU_CHECK(op.heads > 0 && op.heads % op.key.shape.heads == 0 && op.q.rows % op.heads == 0, op.kName, op.heads);
  const int64_t rows = op.q.rows, width = op.out.cols;
  const int64_t n_tokens = rows / op.heads, key_heads = op.key.shape.heads, key_rows = op.dk.rows;
  NARU_CHECK(key_rows >= n_tokens * key_heads && key_rows % key_heads == 0, op.kName, key_rows, n_tokens, key_heads);
  check_f32(op.kName, "q", op.q, rows, op.key.shape.width);
  check_f32(op.kName, "out", op.out, rows, width);
  check_f32(op.kName, "stats", op.stats, rows, 2);
  check_f32(op.kName, "dout", op.dout, rows, width);
  check_f32(op.kName, "dq", op.dq, rows, op.key.shape.width);
  check_f32(op.kName, "dk", op.dk, key_rows, op.key.shape.width);
  check_f32(op.kName, "dv", op.dv, key_rows, width);
  NARU_CHECK(op.key.shape.use != CacheUse::kValue && op.value.shape.use != CacheUse::kKey, op.kName);
  const bool is_shared = op.value.shape.use == CacheUse::kKeyAndValue;
  NARU_CHECK(is_shared ? width <= op.value.shape.width : width == op.value.shape.width, op.kName, width);
  check_sequences(op.kName, op.sequences, rows / op.heads);
  for (const SequenceRows& s : op.sequences) {
    if (s.position_begin == 0) continue;
    NARU_CHECK(op.selected.empty() && s.prefix_begin >= n_tokens, op.kName, s.prefix_begin, n_tokens);
    NARU_CHECK(s.prefix_begin + s.position_begin <= key_rows / key_heads, op.kName, s.prefix_begin, s.position_begin);
  }
  check_selected(op.kName, op.selected, rows / op.heads);
}

template <>
Cost cost(const SiluMulGrad& op) {
  return elementwise(24, op.gate, 5);
}
template <>
void validate(const SiluMulGrad& op) {
  const int64_t rows = op.gate.rows, cols = op.gate.cols;
  check_f32(op.kName, "gate", op.gate, rows, cols);
  check_f32(op.kName, "up", op.up, rows, cols);
  check_f32(op.kName, "dy", op.dy, rows, cols);
  check_f32(op.kName, "dgate", op.dgate, rows, cols);
  check_f32(op.kName, "dup", op.dup, rows, cols);
}

template <>
Cost cost(const CombineGrad& op) {
  return elementwise(3, op.y, 2);
}
template <>
void validate(const CombineGrad& op) {
  const int64_t rows = op.dout.rows, n_chosen = op.gates.cols;
  check_f32(op.kName, "dout", op.dout, rows, op.dout.cols);
  check_f32(op.kName, "gates", op.gates, rows, n_chosen);
  check_f32(op.kName, "y", op.y, rows * n_chosen, op.dout.cols);
  check_f32(op.kName, "dy", op.dy, rows * n_chosen, op.dout.cols);
  check_f32(op.kName, "dgates", op.dgates, rows, n_chosen);
}

template <>
Cost cost(const RouteGrad& op) {
  return elementwise(20, op.logits, 3);
}
template <>
void validate(const RouteGrad& op) {
  const int64_t rows = op.logits.rows, n_experts = op.logits.cols, n_chosen = op.experts.cols;
  check_f32(op.kName, "logits", op.logits, rows, n_experts);
  check_view(op.kName, "experts", op.experts, DType::kI32, rows, n_chosen);
  check_f32(op.kName, "dgates", op.dgates, rows, n_chosen);
  if (!op.dscores.empty()) check_f32(op.kName, "dscores", op.dscores, rows, n_experts);
  check_f32(op.kName, "dlogits", op.dlogits, rows, n_experts);
}

template <>
Cost cost(const BalanceLoss& op) {
  return elementwise(24, op.logits, 2);
}
template <>
void validate(const BalanceLoss& op) {
  check_f32(op.kName, "logits", op.logits, op.logits.rows, op.logits.cols);
  check_view(op.kName, "experts", op.experts, DType::kI32, op.logits.rows, op.experts.cols);
  check_f32(op.kName, "loss", op.loss, static_cast<int64_t>(op.sequences.size()), 1);
  check_f32(op.kName, "dscores", op.dscores, op.logits.rows, op.logits.cols);
  check_sequences(op.kName, op.sequences, op.logits.rows);
}

template <>
Cost cost(const CrossEntropy& op) {
  return elementwise(18, op.logits, op.dlogits.empty() ? 1 : 2);
}
template <>
void validate(const CrossEntropy& op) {
  check_f32(op.kName, "logits", op.logits, op.logits.rows, op.logits.cols);
  check_view(op.kName, "targets", op.targets, DType::kI32, op.logits.rows, 1);
  check_f32(op.kName, "weights", op.weights, op.logits.rows, 1);
  check_f32(op.kName, "loss", op.loss, op.logits.rows, 1);
  if (!op.dlogits.empty()) check_f32(op.kName, "dlogits", op.dlogits, op.logits.rows, op.logits.cols);
}

template <>
Cost cost(const EmbedGrad& op) {
  return elementwise(1, op.dy, 3);
}
template <>
void validate(const EmbedGrad& op) {
  check_view(op.kName, "ids", op.ids, DType::kI32, op.dy.rows, 1);
  check_f32(op.kName, "dy", op.dy, op.ids.rows, op.out.cols);
  check_f32(op.kName, "out", op.out, op.out.rows, op.dy.cols);
}

template <>
Cost cost(const Fill& op) {
  return elementwise(0, op.out, 1);
}
template <>
void validate(const Fill& op) {
  check_f32(op.kName, "out", op.out, op.out.rows, op.out.cols);
}

template <>
Cost cost(const Axpby& op) {
  return elementwise(3, op.out, 3);
}
template <>
void validate(const Axpby& op) {
  check_f32(op.kName, "x", op.x, op.out.rows, op.out.cols);
  if (!op.y.empty()) check_f32(op.kName, "y", op.y, op.out.rows, op.out.cols);
  check_f32(op.kName, "out", op.out, op.x.rows, op.x.cols);
}

template <>
Cost cost(const SumOfSquares& op) {
  Cost cost;
  for (const View& x : op.x) cost += elementwise(2, x, 1);
  return cost;
}
template <>
void validate(const SumOfSquares& op) {
  for (const View& x : op.x) check_f32(op.kName, "x", x, x.rows, x.cols);
  check_f32(op.kName, "out", op.out, static_cast<int64_t>(op.x.size()), 1);
}

template <>
Cost cost(const AdamW& op) {
  Cost cost;
  for (const View& weight : op.weight) cost += elementwise(14, weight, 7);
  return cost;
}
template <>
void validate(const AdamW& op) {
  const size_t n = op.weight.size();
  NARU_CHECK(op.grad.size() == n && op.m.size() == n && op.v.size() == n && op.decay.size() == n, n);
  for (size_t i = 0; i < n; ++i) {
    const int64_t rows = op.weight[i].rows, cols = op.weight[i].cols;
    check_f32(op.kName, "weight", op.weight[i], rows, cols);
    check_f32(op.kName, "grad", op.grad[i], rows, cols);
    check_f32(op.kName, "m", op.m[i], rows, cols);
    check_f32(op.kName, "v", op.v[i], rows, cols);
  }
}

}  // namespace naru::contract
