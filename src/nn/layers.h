// The layers of the models naru knows: grouped-query attention, multi-head latent attention (MLA) in both forms, the
// SwiGLU feed-forward and the mixture of experts. Formulas: docs/architectures.md. Shapes: T tokens, C model width.
#pragma once

#include <initializer_list>
#include <memory>
#include <variant>

#include "nn/context.h"

namespace naru::nn {

struct Norm {
  Vector weight;
  float eps = 0;
};

Status rms_norm(Context& ctx, const Norm& norm, View x, View out);
// out = x W^T + b (+ the adapter's part)
Status matmul(Context& ctx, const Linear& linear, View x, View out);
// The same for up to three that share x, its rounding and its quantisation.
struct Projection {
  const Linear& linear;
  View out;
};
Status matmul(Context& ctx, View x, std::initializer_list<Projection> projections);

// Attention with `kv_heads` key and value heads shared by groups of query heads; norms of q and k heads (Qwen3) where
// their weight is not empty. Rotation on all of head_dim.
struct GroupedQueryAttention {
  int64_t heads = 0;
  int64_t kv_heads = 0;
  int64_t head_dim = 0;
  float scale = 0;
  Linear q, k, v, o;
  Norm q_norm, k_norm;

  // out [T, C] = the attention of x [T, C], already normed. Appends to the cache.
  Status forward(Context& ctx, const LayerCache& cache, View x, View out) const;
};

// Multi-head latent attention (DeepSeek-V2 and later). Latent form: the cache holds [latent | rotary key], queries go
// through absorb_k into the latent space and results come back through expand_v. Expanded form: keys and values of
// every head are made from the latent and cached.
struct LatentAttention {
  int64_t heads = 0;
  int64_t nope_dim = 0;
  int64_t rope_dim = 0;
  int64_t v_dim = 0;
  int64_t latent_dim = 0;
  float scale = 0;
  bool is_latent_form = true;
  contract::RopeLayout rope_layout = contract::RopeLayout::kInterleaved;
  Linear q_a;  // absent where the model has no query rank: then q_b is the whole projection
  Norm q_a_norm;
  Linear q_b;
  Linear kv_a;
  Norm kv_a_norm;
  std::unique_ptr<contract::PackedMatrix> absorb_k;  // latent form: heads x [latent, nope]
  std::unique_ptr<contract::PackedMatrix> expand_k;  // expanded form: heads x [nope, latent]
  std::unique_ptr<contract::PackedMatrix> expand_v;  // heads x [v, latent]
  Linear o;

  Status forward(Context& ctx, const LayerCache& cache, View x, View out) const;

 private:
  // q [T * heads, nope + rope], not yet rotated.
  Status query(Context& ctx, View x, View kv, View q) const;
  Status forward_latent(Context& ctx, const LayerCache& cache, View q, View latent, View k_rope, View heads_out) const;
  Status forward_expanded(Context& ctx, const LayerCache& cache, View q, View latent, View k_rope,
                          View heads_out) const;
};

// out = down(silu(gate(x)) * up(x))
struct FeedForward {
  Linear gate, up, down;
  Status forward(Context& ctx, View x, View out) const;
};

// Mixture of experts with an optional shared expert. The router's product is by the f32 rule in every mode.
struct Experts {
  int64_t n_chosen = 0;
  contract::Scoring scoring = contract::Scoring::kSoftmax;
  contract::GroupScore group_score = contract::GroupScore::kNone;
  int64_t n_group = 1;
  int64_t topk_group = 1;
  bool normalise = false;
  float routed_scale = 1;
  Linear router;
  Vector router_bias;
  std::unique_ptr<contract::PackedMatrix> gate, up, down;  // experts x [F, C], [F, C], [C, F]
  std::unique_ptr<FeedForward> shared;

  // out = residual + experts(x)
  Status forward(Context& ctx, View x, View residual, View out) const;
};

}  // namespace naru::nn
