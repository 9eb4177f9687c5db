// Grouped-query attention and multi-head latent attention.
#include "nn/layers.h"

namespace naru::nn {
namespace {

Status rotate(Context& ctx, View x, View out, int64_t rows_per_token, contract::RopeLayout layout) {
  return ctx.run(contract::Rope{
      .x = x, .cos = ctx.cos, .sin = ctx.sin, .rows_per_token = rows_per_token, .layout = layout, .out = out});
}

Status write_cache(Context& ctx, const contract::CacheStream& stream, View x, int64_t column) {
  return ctx.run(contract::CacheWrite{.x = x, .stream = stream, .column = column, .sequences = *ctx.writes});
}

// The heads normed, where the model norms them.
Result<View> norm_heads(Context& ctx, const Norm& norm, View x) {
  if (norm.weight.view.empty()) return x;
  const View out = ctx.in_place_of(x);
  NARU_TRY(rms_norm(ctx, norm, x, out));
  return out;
}

Status round_to_cache(Context& ctx, const LayerCache& cache, View x) {
  if (cache[StreamRole::kKey].shape.dtype != DType::kBF16) return {};
  return ctx.run(contract::RoundBF16{.x = x, .out = x});
}

}  // namespace

Status GroupedQueryAttention::forward(Context& ctx, const LayerCache& cache, View x, View out) const {
  const WorkspaceScope scope(ctx.workspace);
  const int64_t n_tokens = x.rows;
  const View q_all = ctx.workspace.take(n_tokens, heads * head_dim);
  const View k_all = ctx.workspace.take(n_tokens, kv_heads * head_dim);
  const View v_all = ctx.workspace.take(n_tokens, kv_heads * head_dim);
  NARU_TRY(matmul(ctx, x, {{q, q_all}, {k, k_all}, {v, v_all}}));
  NARU_ASSIGN(const View q_heads, norm_heads(ctx, q_norm, q_all.split_cols(heads)));
  NARU_ASSIGN(const View k_heads, norm_heads(ctx, k_norm, k_all.split_cols(kv_heads)));
  NARU_TRY(rotate(ctx, q_heads, q_heads, heads, contract::RopeLayout::kHalfSplit));
  NARU_TRY(rotate(ctx, k_heads, k_heads, kv_heads, contract::RopeLayout::kHalfSplit));
  NARU_TRY(write_cache(ctx, cache[StreamRole::kKey], k_heads, 0));
  NARU_TRY(write_cache(ctx, cache[StreamRole::kValue], v_all.split_cols(kv_heads), 0));
  const View heads_out = ctx.workspace.take(n_tokens, heads * head_dim);
  NARU_TRY(ctx.run(contract::Attention{.q = q_heads,
                                       .key = cache[StreamRole::kKey],
                                       .value = cache[StreamRole::kValue],
                                       .heads = heads,
                                       .scale = scale,
                                       .sequences = *ctx.sequences,
                                       .out = heads_out.split_cols(heads),
                                       .stats = ctx.for_gradient(n_tokens * heads, 2)}));
  return matmul(ctx, o, heads_out, out);
}

Status LatentAttention::query(Context& ctx, View x, View kv, View q) const {
  if (q_a.weight == nullptr) return matmul(ctx, x, {{q_b, q}, {kv_a, kv}});
  const WorkspaceScope scope(ctx.workspace);
  const View rank = ctx.workspace.take(x.rows, q_a.outputs());
  NARU_TRY(matmul(ctx, x, {{q_a, rank}, {kv_a, kv}}));
  const View normed = ctx.in_place_of(rank);
  NARU_TRY(rms_norm(ctx, q_a_norm, rank, normed));
  return matmul(ctx, q_b, normed, q);
}

Status LatentAttention::forward(Context& ctx, const LayerCache& cache, View x, View out) const {
  const WorkspaceScope scope(ctx.workspace);
  Workspace& workspace = ctx.workspace;
  const View q_all = workspace.take(x.rows, heads * (nope_dim + rope_dim));
  const View kv = workspace.take(x.rows, latent_dim + rope_dim);
  const View latent = workspace.take(x.rows, latent_dim);
  NARU_TRY(query(ctx, x, kv, q_all));
  NARU_TRY(rms_norm(ctx, kv_a_norm, kv.slice_cols(0, latent_dim), latent));
  const View q = q_all.split_cols(heads);
  const View k_rope = kv.slice_cols(latent_dim, rope_dim);
  NARU_TRY(rotate(ctx, k_rope, k_rope, 1, rope_layout));
  NARU_TRY(round_to_cache(ctx, cache, latent));
  const View heads_out = workspace.take(x.rows, heads * v_dim);
  if (is_latent_form) {
    NARU_TRY(forward_latent(ctx, cache, q, latent, k_rope, heads_out.split_cols(heads)));
  } else {
    NARU_TRY(forward_expanded(ctx, cache, q, latent, k_rope, heads_out.split_cols(heads)));
  }
  return matmul(ctx, o, heads_out, out);
}

Status LatentAttention::forward_latent(Context& ctx, const LayerCache& cache, View q, View latent, View k_rope,
                                       View heads_out) const {
  Workspace& workspace = ctx.workspace;
  NARU_TRY(write_cache(ctx, cache[StreamRole::kKey], latent, 0));
  NARU_TRY(write_cache(ctx, cache[StreamRole::kKey], k_rope, latent_dim));
  // The query is rounded when made, before the absorbed product, as in the expanded form.
  const View q_nope = q.slice_cols(0, nope_dim);
  NARU_TRY(round_to_cache(ctx, cache, q_nope));
  const View query = workspace.take(q.rows, latent_dim + rope_dim);
  NARU_TRY(ctx.run(contract::GroupedMatmul{
      .x = q_nope, .groups = {}, .targets = {{absorb_k.get(), query.slice_cols(0, latent_dim)}}}));
  NARU_TRY(rotate(ctx, q.slice_cols(nope_dim, rope_dim), query.slice_cols(latent_dim, rope_dim), heads, rope_layout));
  const View mixed = workspace.take(q.rows, latent_dim);
  NARU_TRY(ctx.run(contract::Attention{.q = query,
                                       .key = cache[StreamRole::kKey],
                                       .value = cache[StreamRole::kKey],
                                       .heads = heads,
                                       .scale = scale,
                                       .sequences = *ctx.sequences,
                                       .out = mixed,
                                       .stats = ctx.for_gradient(q.rows, 2)}));
  return ctx.run(contract::GroupedMatmul{.x = mixed, .groups = {}, .targets = {{expand_v.get(), heads_out}}});
}

Status LatentAttention::forward_expanded(Context& ctx, const LayerCache& cache, View q, View latent, View k_rope,
                                         View heads_out) const {
  Workspace& workspace = ctx.workspace;
  const View k_nope = workspace.take(q.rows, nope_dim);
  const View v = workspace.take(q.rows, v_dim);
  NARU_TRY(ctx.run(contract::GroupedMatmul{.x = latent,
                                           .groups = {},
                                           .rows_share = heads,
                                           .targets = {{expand_k.get(), k_nope}, {expand_v.get(), v}},
                                           .n_targets = 2}));
  NARU_TRY(write_cache(ctx, cache[StreamRole::kKey], k_nope, 0));
  NARU_TRY(write_cache(ctx, cache[StreamRole::kKey], k_rope, nope_dim));
  NARU_TRY(write_cache(ctx, cache[StreamRole::kValue], v, 0));
  const View q_rope = q.slice_cols(nope_dim, rope_dim);
  NARU_TRY(rotate(ctx, q_rope, q_rope, heads, rope_layout));
  return ctx.run(contract::Attention{.q = q,
                                     .key = cache[StreamRole::kKey],
                                     .value = cache[StreamRole::kValue],
                                     .heads = heads,
                                     .scale = scale,
                                     .sequences = *ctx.sequences,
                                     .out = heads_out,
                                     .stats = ctx.for_gradient(q.rows, 2)});
}

}  // namespace naru::nn
