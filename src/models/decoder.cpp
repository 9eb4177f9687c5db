#include "models/decoder.h"

#include <set>

namespace naru::models {
namespace {

using contract::CacheUse;
using nn::StreamRole;

nn::LayerCacheShape shape_of(const nn::GroupedQueryAttention& attention, DType dtype) {
  const int64_t heads = attention.kv_heads, width = attention.head_dim;
  return {{StreamRole::kKey, {heads, width, dtype, CacheUse::kKey}},
          {StreamRole::kValue, {heads, width, dtype, CacheUse::kValue}}};
}

nn::LayerCacheShape shape_of(const nn::LatentAttention& attention, DType dtype) {
  if (attention.is_latent_form) {
    const int64_t width = attention.latent_dim + attention.rope_dim;
    return {{StreamRole::kKey, {1, width, dtype, CacheUse::kKeyAndValue}}};
  }
  const int64_t heads = attention.heads, width = attention.nope_dim + attention.rope_dim;
  return {{StreamRole::kKey, {heads, width, dtype, CacheUse::kKey}},
          {StreamRole::kValue, {heads, attention.v_dim, dtype, CacheUse::kValue}}};
}

nn::LayerCacheShape shape_of(const DecoderLayer& layer, DType dtype) {
  return std::visit([&](const auto& attention) { return shape_of(attention, dtype); }, layer.attention);
}

Result<View> add_residual(nn::Context& ctx, View x, View y) {
  const View out = ctx.in_place_of(x);
  NARU_TRY(ctx.run(contract::Add{.a = x, .b = y, .out = out}));
  return out;
}

Result<View> run_one_layer(nn::Context& ctx, const DecoderLayer& layer, const nn::LayerCache& cache, View x) {
  const nn::WorkspaceScope scope(ctx.workspace);
  const View normed = ctx.workspace.take(x.rows, x.cols);
  const View y = ctx.workspace.take(x.rows, x.cols);
  NARU_TRY(nn::rms_norm(ctx, layer.attention_norm, x, normed));
  NARU_TRY(
      std::visit([&](const auto& attention) { return attention.forward(ctx, cache, normed, y); }, layer.attention));
  NARU_ASSIGN(x, add_residual(ctx, x, y));
  const View normed_again = ctx.in_place_of(normed);
  NARU_TRY(nn::rms_norm(ctx, layer.feed_forward_norm, x, normed_again));
  if (const auto* experts = std::get_if<nn::Experts>(&layer.feed_forward)) {
    const View out = ctx.in_place_of(x);
    NARU_TRY(experts->forward(ctx, normed_again, x, out));
    return out;
  }
  const View z = ctx.in_place_of(y);
  NARU_TRY(std::get<nn::FeedForward>(layer.feed_forward).forward(ctx, normed_again, z));
  return add_residual(ctx, x, z);
}

}  // namespace

Result<View> upload(contract::Chip& chip, nn::Workspace& workspace, const std::vector<int32_t>& values) {
  const auto n = static_cast<int64_t>(values.size());
  const View view = workspace.take(n, 1, DType::kI32);
  NARU_TRY(chip.copy_in(view.address, values.data(), n * 4));
  return view;
}

std::vector<nn::LayerCacheShape> Decoder::layer_cache_shapes(DType cache_dtype) const {
  std::vector<nn::LayerCacheShape> shapes;
  for (const DecoderLayer& layer : layers) shapes.push_back(shape_of(layer, cache_dtype));
  return shapes;
}

std::vector<nn::LayerCacheShape> Decoder::cache_shapes(DType cache_dtype) const {
  std::vector<nn::LayerCacheShape> shapes = layer_cache_shapes(cache_dtype);
  for (const PredictionLayer& prediction : predictions) shapes.push_back(shape_of(prediction.layer, cache_dtype));
  return shapes;
}

Result<Decoder::Start> Decoder::begin(contract::Chip& chip, nn::Workspace& workspace, const Batch& batch) const {
  const auto n_rows = static_cast<int64_t>(batch.ids.size());
  NARU_CHECK(n_rows > 0 && batch.positions.size() == batch.ids.size(), n_rows, batch.positions.size());
  NARU_ASSIGN(std::shared_ptr<const contract::Sequences> sequences, chip.make_sequences(batch.sequences));
  std::shared_ptr<const contract::Sequences> writes = sequences;
  if (!batch.writes.empty()) {
    NARU_ASSIGN(writes, chip.make_sequences(batch.writes));
  }
  NARU_ASSIGN(const View ids, upload(chip, workspace, batch.ids));
  NARU_ASSIGN(const View positions, upload(chip, workspace, batch.positions));
  Start start{.ctx = {.chip = chip,
                      .workspace = workspace,
                      .sequences = std::move(sequences),
                      .writes = std::move(writes),
                      .n_rows = n_rows,
                      .cos = workspace.take(n_rows, rope_dim / 2),
                      .sin = workspace.take(n_rows, rope_dim / 2)},
              .ids = ids};
  NARU_TRY(chip.run(contract::RopeTable{.positions = positions,
                                        .frequencies = rope_frequencies.view,
                                        .factor = rope_factor,
                                        .cos = start.ctx.cos,
                                        .sin = start.ctx.sin}));
  return start;
}

Result<View> Decoder::embed_rows(nn::Context& ctx, View ids) const {
  const View x = ctx.workspace.take(ids.rows, width);
  NARU_TRY(ctx.run(contract::Embed{.ids = ids, .table = &table(), .out = x}));
  return x;
}

Result<View> Decoder::run_layer(nn::Context& ctx, size_t layer, const nn::LayerCache& cache, View x) const {
  const nn::PlaceScope place(ctx.chip, {.what = "layer", .number = static_cast<int64_t>(layer)});
  return run_one_layer(ctx, layers[layer], cache, x);
}

Result<View> Decoder::run_prediction(nn::Context& ctx, size_t depth, const nn::LayerCache& cache, View state,
                                     View ids) const {
  const PredictionLayer& prediction = predictions[depth];
  const nn::PlaceScope place(ctx.chip, {.what = "layer", .number = static_cast<int64_t>(layers.size() + depth)});
  const View x = ctx.workspace.take(state.rows, width);
  {
    const nn::WorkspaceScope scope(ctx.workspace);
    const View embedded = ctx.workspace.take(ids.rows, width);
    const View both = ctx.workspace.take(ids.rows, 2 * width);
    NARU_TRY(ctx.run(contract::Embed{.ids = ids, .table = &table(), .out = embedded}));
    NARU_TRY(nn::rms_norm(ctx, prediction.embed_norm, embedded, both.slice_cols(0, width)));
    NARU_TRY(nn::rms_norm(ctx, prediction.hidden_norm, state, both.slice_cols(width, width)));
    NARU_TRY(nn::matmul(ctx, prediction.join, both, x));
  }
  return run_one_layer(ctx, prediction.layer, cache, x);
}

Result<Decoder::Output> Decoder::forward(contract::Chip& chip, nn::Workspace& workspace, const Batch& batch,
                                         std::span<const nn::LayerCache> cache) const {
  NARU_CHECK(cache.size() >= layers.size(), cache.size(), layers.size());
  NARU_ASSIGN(Start start, begin(chip, workspace, batch));
  nn::Context& ctx = start.ctx;
  NARU_ASSIGN(View x, embed_rows(ctx, start.ids));
  for (size_t layer = 0; layer < layers.size(); ++layer) {
    NARU_ASSIGN(x, run_layer(ctx, layer, cache[layer], x));
  }
  const auto n_logits = static_cast<int64_t>(batch.logit_rows.size());
  const View logits = workspace.take(n_logits, vocab);
  if (n_logits == 0) return Output{logits, x};
  const View normed = workspace.take(n_logits, width);
  for (int64_t i = 0; i < n_logits;) {  // runs of successive rows at once
    int64_t n = 1;
    const int64_t first = batch.logit_rows[static_cast<size_t>(i)];
    while (i + n < n_logits && batch.logit_rows[static_cast<size_t>(i + n)] == first + n) ++n;
    const nn::PlaceScope place(chip, {.what = {}, .number = 0, .row_begin = first, .n_rows = x.rows});
    NARU_TRY(nn::rms_norm(ctx, final_norm, x.slice_rows(first, n), normed.slice_rows(i, n)));
    i += n;
  }
  NARU_TRY(nn::matmul(ctx, head, normed, logits));
  return Output{logits, x};
}

std::vector<contract::Rule> product_rules(const Decoder& decoder) {
  std::set<contract::Rule> rules;
  const auto add = [&](const std::unique_ptr<contract::PackedMatrix>& matrix) {
    if (matrix != nullptr) rules.insert(matrix->rule);
  };
  const auto add_linear = [&](const nn::Linear& linear) {
    add(linear.weight);
    if (linear.adapter == nullptr) return;
    add(linear.adapter->a);
    add(linear.adapter->b);
  };
  const auto add_feed_forward = [&](const nn::FeedForward& part) {
    for (const nn::Linear* linear : {&part.gate, &part.up, &part.down}) add_linear(*linear);
  };
  for (const DecoderLayer& layer : decoder.layers) {
    if (const auto* grouped = std::get_if<nn::GroupedQueryAttention>(&layer.attention)) {
      for (const nn::Linear* linear : {&grouped->q, &grouped->k, &grouped->v, &grouped->o}) add_linear(*linear);
    } else {
      const auto& latent = std::get<nn::LatentAttention>(layer.attention);
      for (const nn::Linear* linear : {&latent.q_a, &latent.q_b, &latent.kv_a, &latent.o}) add_linear(*linear);
      for (const auto* matrix : {&latent.absorb_k, &latent.expand_k, &latent.expand_v}) add(*matrix);
    }
    if (const auto* experts = std::get_if<nn::Experts>(&layer.feed_forward)) {
      add_linear(experts->router);
      for (const auto* matrix : {&experts->gate, &experts->up, &experts->down}) add(*matrix);
      if (experts->shared != nullptr) add_feed_forward(*experts->shared);
    } else {
      add_feed_forward(std::get<nn::FeedForward>(layer.feed_forward));
    }
  }
  add_linear(decoder.head);
  return {rules.begin(), rules.end()};
}

Result<int64_t> workspace_bytes(const Decoder& decoder, contract::Chip& planner, int64_t n_rows, int64_t n_logit_rows,
                                DType cache_dtype) {
  NARU_ASSIGN(nn::Workspace workspace, nn::Workspace::measuring(planner));
  NARU_ASSIGN(const auto page, planner.allocate(1));  // every page of every layer: nothing is written
  std::vector<nn::LayerCache> cache;
  for (const nn::LayerCacheShape& shape : decoder.cache_shapes(cache_dtype)) {
    NARU_ASSIGN(cache.emplace_back(), nn::LayerCache::create_on(shape, page->address()));
  }
  const std::vector<int32_t> pages(static_cast<size_t>(n_rows / contract::kCachePage + 1), 0);
  Batch batch;
  batch.ids.assign(static_cast<size_t>(n_rows), 0);
  for (int64_t i = 0; i < n_rows; ++i) batch.positions.push_back(static_cast<int32_t>(i));
  batch.sequences.push_back({.row_begin = 0, .n_rows = n_rows, .position_begin = 0, .pages = pages.data()});
  for (int64_t i = n_rows - n_logit_rows; i < n_rows; ++i) batch.logit_rows.push_back(static_cast<int32_t>(i));
  NARU_TRY(decoder.forward(planner, workspace, batch, cache));
  return workspace.peak_bytes();
}

}  // namespace naru::models
