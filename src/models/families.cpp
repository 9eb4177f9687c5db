#include "models/families.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "models/rope_frequencies.h"

namespace naru::models {

using formats::Family;
using formats::ModelConfig;

std::span<const NameRow> names_of(Family family) {
  switch (family) {
    case Family::kLlama:
    case Family::kQwen2:
    case Family::kQwen3: return dense_names();
    case Family::kDeepseekV2:
    case Family::kDeepseekV3: return deepseek_names();
  }
  return {};
}

Result<nn::Norm> build_norm(WeightLoader& loader, WeightLoader::Place place, int64_t n, double eps) {
  nn::Norm norm;
  norm.eps = static_cast<float>(eps);
  NARU_ASSIGN(norm.weight, loader.vector(place, n));
  return norm;
}

Result<nn::FeedForward> build_feed_forward(WeightLoader& loader, int64_t layer, int64_t width, int64_t ffn, Role gate,
                                           Role up, Role down) {
  nn::FeedForward result;
  NARU_ASSIGN(result.gate.weight, loader.matrix({.role = gate, .layer = layer}, ffn, width));
  NARU_ASSIGN(result.up.weight, loader.matrix({.role = up, .layer = layer}, ffn, width));
  NARU_ASSIGN(result.down.weight, loader.matrix({.role = down, .layer = layer}, width, ffn));
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
  NARU_ASSIGN(result.attention_norm,
              build_norm(loader, {.role = Role::kAttentionNorm, .layer = layer}, config.hidden, config.rms_eps));
  NARU_ASSIGN(result.feed_forward_norm,
              build_norm(loader, {.role = Role::kFeedForwardNorm, .layer = layer}, config.hidden, config.rms_eps));
  NARU_TRY(formats::is_deepseek(config.family) ? build_deepseek_layer(config, loader, layer, options, result)
                                               : build_dense_layer(config, loader, layer, result));
  return result;
}

Result<PredictionLayer> build_prediction(const ModelConfig& config, WeightLoader& loader, int64_t layer,
                                         const BuildOptions& options) {
  const auto norm = [&](Role role) {
    return build_norm(loader, {.role = role, .layer = layer}, config.hidden, config.rms_eps);
  };
  PredictionLayer result;
  NARU_ASSIGN(result.embed_norm, norm(Role::kPredictionEmbedNorm));
  NARU_ASSIGN(result.hidden_norm, norm(Role::kPredictionHiddenNorm));
  NARU_ASSIGN(result.join.weight,
              loader.matrix({.role = Role::kPredictionJoin, .layer = layer}, config.hidden, 2 * config.hidden));
  NARU_ASSIGN(result.layer, build_layer(config, loader, layer, options));
  NARU_ASSIGN(result.head_norm, norm(Role::kPredictionHeadNorm));
  return result;
}

}  // namespace

Result<Decoder> build_decoder(const ModelConfig& config, WeightLoader& loader, const BuildOptions& options) {
  Decoder decoder;
  decoder.vocab = config.vocab;
  decoder.width = config.hidden;
  decoder.rope_dim = config.is_mla() ? config.mla.qk_rope_head_dim : config.head_dim;
  decoder.rope_factor = static_cast<float>(formats::yarn_attention_factor(config.rope));
  std::vector<float> divisors = config.rope.divisors;
  if (config.rope.kind == formats::RopeKind::kDivisors && divisors.empty()) {
    NARU_ASSIGN(divisors, loader.host_vector({.role = Role::kRopeDivisors}, decoder.rope_dim / 2));
  }
  const std::vector<float> frequencies = rope_frequencies(config.rope, decoder.rope_dim, divisors);
  NARU_TRY(check_limits(config, options, frequencies));
  NARU_ASSIGN(decoder.rope_frequencies, loader.constant(frequencies));
  const bool is_tied = config.tie_embeddings || (config.from_gguf && !loader.has({.role = Role::kHead}));
  if (!is_tied) {
    NARU_ASSIGN(decoder.embed,
                loader.matrix({.role = Role::kEmbed}, config.vocab, config.hidden, WeightLoader::Use::kLookup));
  }
  for (int64_t layer = 0; layer < config.layers; ++layer) {
    NARU_ASSIGN(DecoderLayer built, build_layer(config, loader, layer, options));
    decoder.layers.push_back(std::move(built));
  }
  NARU_ASSIGN(decoder.final_norm, build_norm(loader, {.role = Role::kFinalNorm}, config.hidden, config.rms_eps));
  const bool is_table = is_tied && (config.from_gguf || loader.has({.role = Role::kEmbed}) ||
                                    !loader.has({.role = Role::kHead}));  // tied_head.h says which of the two
  NARU_ASSIGN(decoder.head.weight,
              loader.matrix({.role = is_table ? Role::kEmbed : Role::kHead}, config.vocab, config.hidden));
  for (int64_t depth = 0; options.with_predictions && depth < config.mtp_layers; ++depth) {
    NARU_ASSIGN(PredictionLayer built, build_prediction(config, loader, config.layers + depth, options));
    decoder.predictions.push_back(std::move(built));
  }
  return decoder;
}

}  // namespace naru::models
