// The gradient of each op, made of contract ops (docs/arithmetic.md section 7). dy is the gradient of an op's output;
// an op whose output nobody used is passed over.
#include <utility>

#include "nn/backward.h"

namespace naru::nn {

Status Backward::run() {
  for (size_t i = tape_.ops_.size(); i-- > 0;) {
    const contract::Op& op = tape_.ops_[i];
    // Gradients of a stream stay until its rows were written; all else an op takes is its own.
    if (const auto* attention = std::get_if<contract::Attention>(&op)) {
      NARU_TRY(gradient(*attention));
      continue;
    }
    const WorkspaceScope scope(shadow_);
    NARU_TRY(std::visit([this](const auto& o) { return gradient(o); }, op));
  }
  return {};
}

template <typename Other>
Status Backward::gradient(const Other&) {
  NARU_CHECK(false, "an op without a gradient was recorded");
}

Status Backward::add_weight_grad(const MatrixBinding& binding, View dy, View x, View groups, int64_t rows_share) {
  if (binding.grads.empty()) return {};
  // y = x W^T with W the parameter transposed: its gradient has the operands the other way round.
  NARU_CHECK(!binding.is_transposed || rows_share == 1);
  return run(contract::WeightGrad{.dy = binding.is_transposed ? x : dy,
                                  .x = binding.is_transposed ? dy : x,
                                  .groups = groups,
                                  .rows_share = rows_share,
                                  .rule = binding.weight->rule,
                                  .out = binding.grads});
}

Status Backward::gradient(const contract::Matmul& op) {
  std::vector<const contract::MatmulTarget*> used;
  for (int i = 0; i < op.n_targets; ++i) {
    if (has_gradient(op.targets[i].out)) used.push_back(&op.targets[i]);
  }
  if (used.empty()) return {};
  for (const contract::MatmulTarget* target : used) {
    const View dy = gradient_of(target->out);
    NARU_TRY(add_weight_grad(binding_of(target->weight), dy, op.x, {}, 1));
    if (target->bias.empty()) continue;
    const View grad = tape_.bindings_.vector_grad(target->bias);
    if (!grad.empty()) NARU_TRY(run(contract::ColumnSum{.x = dy, .out = grad}));
  }
  return contribute(op.x, [&](View out) -> Status {
    for (size_t i = 0; i < used.size(); ++i) {
      const WorkspaceScope scope(shadow_);
      const View part = i == 0 ? out : shadow_.take(out.rows, out.cols);
      NARU_TRY(run(contract::Matmul{.x = gradient_of(used[i]->out),
                                    .targets = {{binding_of(used[i]->weight).transposed, {}, part}},
                                    .n_targets = 1}));
      if (i > 0) NARU_TRY(run(contract::Add{.a = out, .b = part, .out = out}));
    }
    return {};
  });
}

// Each target is a consumer of x by itself, the last one first.
Status Backward::gradient(const contract::GroupedMatmul& op) {
  for (int i = op.n_targets; i-- > 0;) {
    const WorkspaceScope scope(shadow_);
    NARU_TRY(gradient_of_target(op, op.targets[i]));
  }
  return {};
}

Status Backward::gradient_of_target(const contract::GroupedMatmul& op, const contract::GroupedTarget& target) {
  if (!has_gradient(target.out)) return {};
  const View dy = gradient_of(target.out);
  const MatrixBinding& binding = binding_of(target.weight);
  NARU_TRY(add_weight_grad(binding, dy, op.x, op.groups, op.rows_share));
  return contribute(op.x, [&](View out) -> Status {
    const bool is_shared = op.rows_share > 1;
    const View slots = is_shared ? shadow_.take(dy.rows, out.cols) : out;
    NARU_TRY(run(contract::GroupedMatmul{.x = dy, .groups = op.groups, .targets = {{binding.transposed, slots}}}));
    if (!is_shared) return {};
    return run(contract::SumSlots{.x = slots, .out = out});
  });
}

Status Backward::gradient(const contract::RmsNorm& op) {
  if (!has_gradient(op.out)) return {};
  return contribute(op.x, [&](View out) {
    return run(contract::RmsNormGrad{.x = op.x,
                                     .weight = op.weight,
                                     .eps = op.eps,
                                     .dy = gradient_of(op.out),
                                     .dx = out,
                                     .dweight = tape_.bindings_.vector_grad(op.weight)});
  });
}

Status Backward::gradient(const contract::Rope& op) {
  if (!has_gradient(op.out)) return {};
  const auto rotate_back = [&](View out) {
    return run(contract::RopeGrad{.dy = gradient_of(op.out),
                                  .cos = op.cos,
                                  .sin = op.sin,
                                  .rows_per_token = op.rows_per_token,
                                  .layout = op.layout,
                                  .dx = out});
  };
  if (op.out.address == op.x.address) return rotate_back(gradient_of(op.x));
  return contribute(op.x, rotate_back);
}

// The gradient passes straight through a rounding.
Status Backward::gradient(const contract::RoundBF16& op) {
  if (op.out.address == op.x.address || !has_gradient(op.out)) return {};
  return contribute(op.x, [&](View out) { return copy(gradient_of(op.out), out); });
}

Status Backward::gradient(const contract::CacheWrite& op) {
  const auto found = stream_grads_.find(op.stream.address);
  if (found == stream_grads_.end()) return {};
  const View grad = found->second.slice_cols(op.column, op.x.cols);
  return contribute(op.x, [&](View out) -> Status {
    if (grad.rows == out.rows) return copy(grad, out);
    return run(contract::SumSlots{.x = grad, .out = out});
  });
}

// Of a stream's gradient with rows for prefixes the rows of the batch, to which those are added.
Result<View> Backward::add_prefixes(View grad, int64_t heads) {
  const View& prefix_rows = tape_.prefix_rows_;
  if (prefix_rows.rows == 0) return grad;
  const int64_t n_tokens = grad.rows / heads - prefix_rows.rows;
  View tokens = grad;  // all heads of a token in a row
  tokens.rows = n_tokens + prefix_rows.rows;
  tokens.cols = tokens.row_stride = heads * grad.cols;
  NARU_TRY(run(contract::EmbedGrad{
      .ids = prefix_rows, .dy = tokens.slice_rows(n_tokens, prefix_rows.rows), .out = tokens.slice_rows(0, n_tokens)}));
  return grad.slice_rows(0, n_tokens * heads);
}

Status Backward::gradient(const contract::Attention& op) {
  if (!has_gradient(op.out)) return {};
  const int64_t heads = op.key.shape.heads, n_rows = (op.q.rows / op.heads + tape_.prefix_rows_.rows) * heads;
  View dk = shadow_.take(n_rows, op.key.shape.width), dv = shadow_.take(n_rows, op.out.cols);
  NARU_TRY(contribute(op.q, [&](View out) {
    return run(contract::AttentionGrad{.q = op.q,
                                       .key = op.key,
                                       .value = op.value,
                                       .heads = op.heads,
                                       .scale = op.scale,
                                       .sequences = op.sequences,
                                       .out = op.out,
                                       .stats = op.stats,
                                       .dout = gradient_of(op.out),
                                       .dq = out,
                                       .dk = dk,
                                       .dv = dv,
                                       .selected = op.selected});
  }));
  NARU_ASSIGN(dk, add_prefixes(dk, heads));
  NARU_ASSIGN(dv, add_prefixes(dv, heads));
  stream_grads_[op.key.address] = dk;
  if (op.value.shape.use != contract::CacheUse::kKeyAndValue) {
    stream_grads_[op.value.address] = dv;
    return {};
  }
  const View first = dk.slice_cols(0, dv.cols);
  return run(contract::Add{.a = first, .b = dv, .out = first});
}

Status Backward::gradient(const contract::SiluMul& op) {
  if (!has_gradient(op.out)) return {};
  const Target gate = open(op.gate), up = open(op.up);
  NARU_TRY(run(contract::SiluMulGrad{
      .gate = op.gate, .up = op.up, .dy = gradient_of(op.out), .dgate = gate.written, .dup = up.written}));
  NARU_TRY(close(gate));
  return close(up);
}

Status Backward::gradient(const contract::Add& op) {
  if (!has_gradient(op.out)) return {};
  const View dy = gradient_of(op.out);
  NARU_TRY(contribute(op.a, [&](View out) { return copy(dy, out); }));
  return contribute(op.b, [&](View out) { return copy(dy, out); });
}

Status Backward::gradient(const contract::Axpby& op) {
  if (!has_gradient(op.out)) return {};
  const View dy = gradient_of(op.out);
  NARU_TRY(contribute(op.x,
                      [&](View out) { return run(contract::Axpby{.x = dy, .y = {}, .a = op.a, .b = 0, .out = out}); }));
  // Added in place (an adapter's part): the gradient of y is where that of the sum is.
  NARU_CHECK(op.y.empty() || op.out.address != op.y.address || op.b == 1, op.b);
  if (op.y.empty() || op.out.address == op.y.address) return {};
  return contribute(op.y,
                    [&](View out) { return run(contract::Axpby{.x = dy, .y = {}, .a = op.b, .b = 0, .out = out}); });
}

Status Backward::gradient(const contract::Combine& op) {
  if (!has_gradient(op.out)) return {};
  const View dy = gradient_of(op.out);
  const Target y = open(op.y), gates = open(op.gates);
  NARU_TRY(
      run(contract::CombineGrad{.y = op.y, .gates = op.gates, .dout = dy, .dy = y.written, .dgates = gates.written}));
  NARU_TRY(close(y));
  NARU_TRY(close(gates));
  if (!op.shared.empty()) NARU_TRY(contribute(op.shared, [&](View out) { return copy(dy, out); }));
  return contribute(op.residual, [&](View out) { return copy(dy, out); });
}

// The balance loss of a layer's scores.
Result<View> Backward::balance_scores(const contract::Route& op) {
  if (tape_.balance_weight_ == 0) return View{};
  NARU_CHECK(!tape_.balance_losses_.empty(), "a second Route of a stretch has no place for its balance losses");
  const View scores = shadow_.take(op.logits.rows, op.logits.cols);
  NARU_TRY(run(contract::BalanceLoss{.logits = op.logits,
                                     .experts = op.experts,
                                     .scoring = op.scoring,
                                     .weight = tape_.balance_weight_,
                                     .sequences = tape_.sequences_,
                                     .loss = std::exchange(tape_.balance_losses_, {}),
                                     .dscores = scores}));
  return scores;
}

Status Backward::gradient(const contract::Route& op) {
  if (!has_gradient(op.gates)) return {};
  NARU_ASSIGN(const View scores, balance_scores(op));
  return contribute(op.logits, [&](View out) {
    return run(contract::RouteGrad{.logits = op.logits,
                                   .experts = op.experts,
                                   .dgates = gradient_of(op.gates),
                                   .dscores = scores,
                                   .scoring = op.scoring,
                                   .normalise = op.normalise,
                                   .scale = op.scale,
                                   .dlogits = out});
  });
}

Status Backward::gradient(const contract::Embed& op) {
  const MatrixBinding& binding = binding_of(op.table);
  if (binding.grads.empty() || !has_gradient(op.out)) return {};
  return run(contract::EmbedGrad{.ids = op.ids, .dy = gradient_of(op.out), .out = binding.grads.front()});
}

}  // namespace naru::nn
