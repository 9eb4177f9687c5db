#include "models/families.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "models/rope_frequencies.h"

namespace naru::models {

using formats::ModelConfig;

Result<nn::Norm> build_norm(WeightLoader& loader, Role role, int64_t layer, double eps) {
  nn::Norm norm;
  norm.eps = static_cast<float>(eps);
  NARU_ASSIGN(norm.weight, loader.vector(role, layer));
  return norm;
}

Result<nn::FeedForward> build_feed_forward(WeightLoader& loader, int64_t layer, Role gate, Role up, Role down) {
  nn::FeedForward result;
  NARU_ASSIGN(result.gate.weight, loader.matrix(gate, layer));
  NARU_ASSIGN(result.up.weight, loader.matrix(up, layer));
  NARU_ASSIGN(result.down.weight, loader.matrix(down, layer));
  return result;
}

namespace {

// What the arithmetic is defined for: a row of the cache is one chain of a dot product, and angles stay where sin and
// cos are exact.
Status check_limits(const ModelConfig& config, const BuildOptions& options, const std::vector<float>& frequencies) {
  int64_t width = config.head_dim;
  if (config.is_mla()) {
    width = config.mla.qk_rope_head_dim +
            std::max(config.mla.qk_nope_head_dim, options.is_latent_form ? config.mla.kv_lora_rank : int64_t{0});
    width = std::max(width, config.mla.v_head_dim);
  }
  if (width > contract::kSegmentWidthMax) {
    return Error{Code::kUnsupported,
                 fmt::format("planning a {} model: its cache rows are {} wide, at most {} are supported; {}",
                             family_name(config.family), width, contract::kSegmentWidthMax,
                             config.is_mla() && options.is_latent_form ? "try --latent off" : "use another model")};
  }
  for (const float frequency : frequencies) {
    if (std::isfinite(frequency) && std::fabs(frequency) * static_cast<double>(config.max_positions) <= 0x1p30)
      continue;
    return Error{
        Code::kCorrupt,
        fmt::format("planning a {} model: a rotation frequency is {}, one that keeps the angles of {} positions "
                    "within 2^30 was wanted; rope_theta, its scaling or rope_freqs are damaged",
                    family_name(config.family), frequency, config.max_positions)};
  }
  return {};
}

Result<DecoderLayer> build_layer(const ModelConfig& config, WeightLoader& loader, int64_t layer,
                                 const BuildOptions& options) {
  DecoderLayer result;
  NARU_ASSIGN(result.attention_norm, build_norm(loader, Role::kAttentionNorm, layer, config.rms_eps));
  if (config.is_mla()) {
    NARU_ASSIGN(result.attention, build_latent_attention(config, loader, layer, options));
  } else {
    NARU_ASSIGN(result.attention, build_grouped_attention(config, loader, layer));
  }
  NARU_ASSIGN(result.feed_forward_norm, build_norm(loader, Role::kFeedForwardNorm, layer, config.rms_eps));
  if (config.is_moe_layer(layer)) {
    NARU_ASSIGN(result.feed_forward, build_experts(config, loader, layer));
  } else {
    NARU_ASSIGN(result.feed_forward, build_feed_forward(loader, layer, Role::kGate, Role::kUp, Role::kDown));
  }
  return result;
}

Result<PredictionLayer> build_prediction(const ModelConfig& config, WeightLoader& loader, int64_t layer,
                                         const BuildOptions& options) {
  PredictionLayer result;
  NARU_ASSIGN(result.embed_norm, build_norm(loader, Role::kPredictionEmbedNorm, layer, config.rms_eps));
  NARU_ASSIGN(result.hidden_norm, build_norm(loader, Role::kPredictionHiddenNorm, layer, config.rms_eps));
  NARU_ASSIGN(result.join.weight, loader.matrix(Role::kPredictionJoin, layer));
  NARU_ASSIGN(result.layer, build_layer(config, loader, layer, options));
  NARU_ASSIGN(result.head_norm, build_norm(loader, Role::kPredictionHeadNorm, layer, config.rms_eps));
  return result;
}

}  // namespace

Result<Decoder> build_parts(const ModelConfig& config, WeightLoader& loader, const BuildOptions& options) {
  Decoder decoder;
  NARU_ASSIGN(auto table, loader.matrix(Role::kEmbed));
  (config.tie_embeddings ? decoder.head.weight : decoder.embed) = std::move(table);
  for (int64_t layer = 0; layer < config.layers; ++layer) {
    NARU_ASSIGN(DecoderLayer built, build_layer(config, loader, layer, options));
    decoder.layers.push_back(std::move(built));
  }
  NARU_ASSIGN(decoder.final_norm, build_norm(loader, Role::kFinalNorm, 0, config.rms_eps));
  if (!config.tie_embeddings) {
    NARU_ASSIGN(decoder.head.weight, loader.matrix(Role::kHead));
  }
  for (int64_t depth = 0; options.with_predictions && depth < config.mtp_layers; ++depth) {
    NARU_ASSIGN(PredictionLayer built, build_prediction(config, loader, config.layers + depth, options));
    decoder.predictions.push_back(std::move(built));
  }
  return decoder;
}

Result<Decoder> build_decoder(const ModelConfig& config, WeightLoader& loader, const BuildOptions& options) {
  const int64_t rope_dim = 2 * dim_of(config, Dim::kHalfRotated);
  std::vector<float> divisors = config.rope.divisors;
  if (config.rope.kind == formats::RopeKind::kDivisors && divisors.empty()) {
    NARU_ASSIGN(divisors, loader.host_vector(Role::kRopeDivisors));
  }
  const std::vector<float> frequencies = rope_frequencies(config.rope, rope_dim, divisors);
  NARU_TRY(check_limits(config, options, frequencies));
  NARU_ASSIGN(nn::Vector on_chip, loader.constant(frequencies));
  NARU_ASSIGN(Decoder decoder, build_parts(config, loader, options));
  decoder.vocab = config.vocab;
  decoder.width = config.hidden;
  decoder.rope_dim = rope_dim;
  decoder.rope_factor = static_cast<float>(formats::yarn_attention_factor(config.rope));
  decoder.rope_frequencies = std::move(on_chip);
  return decoder;
}

}  // namespace naru::models
