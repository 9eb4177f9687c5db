#include "nn/layers.h"

namespace naru::nn {

using contract::Op;

Status rms_norm(Context& ctx, const Norm& norm, View x, View out) {
  return ctx.run(contract::RmsNorm{.x = x, .weight = norm.weight.view, .eps = norm.eps, .out = out});
}

namespace {

// out = out + scale * B (A x).
Status add_adapter(Context& ctx, const Adapter& adapter, View x, View out) {
  const WorkspaceScope scope(ctx.workspace);
  const View low = ctx.workspace.take(x.rows, adapter.a->outputs);
  const View part = ctx.workspace.take(out.rows, out.cols);
  NARU_TRY(ctx.run(contract::Matmul{.x = x, .targets = {{adapter.a.get(), {}, low}}, .n_targets = 1}));
  NARU_TRY(ctx.run(contract::Matmul{.x = low, .targets = {{adapter.b.get(), {}, part}}, .n_targets = 1}));
  return ctx.run(contract::Axpby{.x = part, .y = out, .a = adapter.scale, .b = 1, .out = out});
}

}  // namespace

Status matmul(Context& ctx, View x, std::initializer_list<Projection> projections) {
  contract::Matmul op{.x = x, .targets = {}, .n_targets = 0};
  for (const Projection& p : projections) op.targets[op.n_targets++] = p.linear.target(p.out);
  NARU_TRY(ctx.run(op));
  for (const Projection& p : projections) {
    if (p.linear.adapter != nullptr) NARU_TRY(add_adapter(ctx, *p.linear.adapter, x, p.out));
  }
  return {};
}

Status matmul(Context& ctx, const Linear& linear, View x, View out) {
  return matmul(ctx, x, {{linear, out}});
}

Status FeedForward::forward(Context& ctx, View x, View out) const {
  const WorkspaceScope scope(ctx.workspace);
  const View g = ctx.workspace.take(x.rows, gate.outputs());
  const View u = ctx.workspace.take(x.rows, up.outputs());
  NARU_TRY(matmul(ctx, x, {{gate, g}, {up, u}}));
  const View a = ctx.in_place_of(g);
  NARU_TRY(ctx.run(contract::SiluMul{.gate = g, .up = u, .out = a}));
  return matmul(ctx, down, a, out);
}

Status Experts::forward(Context& ctx, View x, View residual, View out) const {
  const WorkspaceScope scope(ctx.workspace);
  Workspace& workspace = ctx.workspace;
  const int64_t n_slots = x.rows * n_chosen;
  const View logits = workspace.take(x.rows, router.outputs());
  NARU_CHECK(!ctx.is_chosen_given || !ctx.chosen.empty());
  const View chosen = ctx.chosen.empty() ? workspace.take(x.rows, n_chosen, DType::kI32) : ctx.chosen;
  const View gates = workspace.take(x.rows, n_chosen);
  NARU_TRY(matmul(ctx, router, x, logits));
  NARU_TRY(ctx.run(contract::Route{.logits = logits,
                                   .bias = router_bias.view,
                                   .scoring = scoring,
                                   .group_score = group_score,
                                   .n_group = n_group,
                                   .topk_group = topk_group,
                                   .normalise = normalise,
                                   .scale = routed_scale,
                                   .experts = chosen,
                                   .gates = gates,
                                   .is_given = ctx.is_chosen_given}));
  const View slots = chosen.split_cols(n_chosen);
  const View g = workspace.take(n_slots, gate->outputs);
  const View u = workspace.take(n_slots, up->outputs);
  const View y = workspace.take(n_slots, down->outputs);
  NARU_TRY(ctx.run(contract::GroupedMatmul{
      .x = x, .groups = slots, .rows_share = n_chosen, .targets = {{gate.get(), g}, {up.get(), u}}, .n_targets = 2}));
  const View a = ctx.in_place_of(g);
  NARU_TRY(ctx.run(contract::SiluMul{.gate = g, .up = u, .out = a}));
  NARU_TRY(ctx.run(contract::GroupedMatmul{.x = a, .groups = slots, .targets = {{down.get(), y}}}));
  View shared_out;
  if (shared != nullptr) {
    shared_out = workspace.take(x.rows, out.cols);
    NARU_TRY(shared->forward(ctx, x, shared_out));
  }
  return ctx.run(contract::Combine{.y = y, .gates = gates, .shared = shared_out, .residual = residual, .out = out});
}

}  // namespace naru::nn
