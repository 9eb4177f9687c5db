// Decoder: the shape that all our families share. Embedding; layers of pre-norm attention and pre-norm feed-forward
// (dense or experts) around a residual stream; final norm; head. A family (families.h) fills it from a config.
#pragma once

#include <memory>
#include <span>
#include <variant>
#include <vector>

#include "nn/layers.h"

namespace naru::models {

struct DecoderLayer {
  nn::Norm attention_norm;
  std::variant<nn::GroupedQueryAttention, nn::LatentAttention> attention;
  nn::Norm feed_forward_norm;
  std::variant<nn::FeedForward, nn::Experts> feed_forward;
};

// A prediction layer (MTP, DeepSeek-V3 report section 2.2): from the state at a token and the embedding of the next one
// it predicts the one after that, with the model's own embedding and head.
struct PredictionLayer {
  nn::Norm embed_norm;
  nn::Norm hidden_norm;
  nn::Linear join;  // [C, 2C]: the embedding's half first
  DecoderLayer layer;
  nn::Norm head_norm;
};

// The tokens of one forward pass. Sequences cover rows [0, ids.size()) in order without holes.
struct Batch {
  std::vector<int32_t> ids;
  std::vector<int32_t> positions;  // from the start of each row's document
  std::vector<contract::SequenceRows> sequences;
  std::vector<contract::SequenceRows> writes = {};  // by which rows are written to the cache; empty: the sequences
  std::vector<int32_t> logit_rows;                  // rows whose logits are wanted, ascending
};

struct Decoder {
  int64_t vocab = 0;
  int64_t width = 0;
  int64_t rope_dim = 0;
  float rope_factor = 1;
  nn::Vector rope_frequencies;                    // [1, rope_dim / 2]
  std::unique_ptr<contract::PackedMatrix> embed;  // absent where the head is tied: then the head is the table
  std::vector<DecoderLayer> layers;
  nn::Norm final_norm;
  nn::Linear head;
  std::vector<PredictionLayer> predictions;  // where they were asked for

  const contract::PackedMatrix& table() const { return embed != nullptr ? *embed : *head.weight; }

  // What the cache of each layer must hold; and of each layer, then of each prediction layer. Layers may differ.
  std::vector<nn::LayerCacheShape> layer_cache_shapes(DType cache_dtype) const;
  std::vector<nn::LayerCacheShape> cache_shapes(DType cache_dtype) const;

  // The parts of a forward pass, which training runs one by one. begin() puts ids, positions and rotation angles into
  // the workspace; run_layer() gives the residual stream behind the layer (in x itself unless a tape records).
  struct Start {
    nn::Context ctx;
    View ids;  // i32 [T, 1]
  };
  Result<Start> begin(contract::Chip& chip, nn::Workspace& workspace, const Batch& batch) const;
  Result<View> embed_rows(nn::Context& ctx, View ids) const;
  Result<View> run_layer(nn::Context& ctx, size_t layer, const nn::LayerCache& cache, View x) const;
  // The state behind prediction layer `depth`, of the state before it (at depth 0 that behind the last layer, before
  // the final norm) and the ids of the tokens depth + 1 places on, i32 [T, 1].
  Result<View> run_prediction(nn::Context& ctx, size_t depth, const nn::LayerCache& cache, View state, View ids) const;

  // What a forward pass leaves in the workspace.
  struct Output {
    View logits;  // [logit_rows, vocab]
    View state;   // [T, C]: the residual stream behind the last layer, which the first prediction layer reads
  };
  // Appends every row to the cache.
  Result<Output> forward(contract::Chip& chip, nn::Workspace& workspace, const Batch& batch,
                         std::span<const nn::LayerCache> cache) const;
};

// i32 [n, 1] on the chip.
Result<View> upload(contract::Chip& chip, nn::Workspace& workspace, const std::vector<int32_t>& values);

// Workspace bytes that forward() takes for `n_rows` rows and `n_logit_rows` logits, learnt by running it on the planner
// that the decoder was made on.
Result<int64_t> workspace_bytes(const Decoder& decoder, contract::Chip& planner, int64_t n_rows, int64_t n_logit_rows,
                                DType cache_dtype);

// The rules of the products of a pass, adapters' too, ascending.
std::vector<contract::Rule> product_rules(const Decoder& decoder);

}  // namespace naru::models
