#include "models/parameters.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/double_math.h"
#include "base/philox.h"
#include "models/families.h"
#include "models/stored_rows.h"

namespace naru::models {
namespace {

using formats::ModelConfig;

// Two independent normal numbers of one block (Box and Muller, 1958), 53 bits of uniform randomness each.
std::pair<double, double> normal_pair(const PhiloxBlock& block) {
  const double radius = std::sqrt(-2.0 * log_double(1.0 - uniform_53(block)));
  const double angle = 2.0 * std::numbers::pi * uniform_53({block[2], block[3], 0, 0});
  return {radius * cos_double(angle), radius * sin_double(angle)};
}

}  // namespace

int64_t Parameter::n_elements() const {
  int64_t product = 1;
  for (const int64_t dim : shape) product *= dim;
  return product;
}

Result<ModelConfig> plain_config(const formats::TensorFiles& files, const ModelConfig& config) {
  ModelConfig plain = config;
  plain.from_gguf = false;
  plain.mtp_layers = 0;
  plain.fp8_block_rows = plain.fp8_block_cols = 0;
  plain.dtype = "float32";
  plain.unknown_keys.clear();
  if (!config.is_mla()) plain.rope.interleaved = false;
  if (config.rope.kind == formats::RopeKind::kDivisors && config.rope.divisors.empty()) {
    NARU_ASSIGN(const StoredTensor stored, find_stored_tensor(files, config, Role::kRopeDivisors));
    plain.rope.divisors.resize(static_cast<size_t>(stored.cols));
    stored.widen(0, plain.rope.divisors.data());
  }
  return plain;
}

std::vector<Parameter> list_parameters(const ModelConfig& config) {
  WeightLoader recorder(config);
  const auto nothing = build_parts(config, recorder, {.with_predictions = true});
  NARU_CHECK(nothing.ok(), "a walk that takes nothing cannot fail");
  return recorder.parameters();
}

int64_t all_parameters(const std::vector<Parameter>& parameters) {
  int64_t n = 0;
  for (const Parameter& parameter : parameters) n += parameter.n_elements();
  return n;
}

int64_t active_parameters(const ModelConfig& config, const std::vector<Parameter>& parameters) {
  int64_t n = 0, n_of_experts = 0;
  for (const Parameter& parameter : parameters) (parameter.is_expert() ? n_of_experts : n) += parameter.n_elements();
  // The experts of a layer are of one size: their values divide evenly among them.
  return n + n_of_experts / std::max<int64_t>(1, config.moe.experts) * config.moe.experts_per_token;
}

Status read_parameter(const formats::TensorFiles& files, const ModelConfig& config, const Parameter& parameter,
                      float* out) {
  NARU_TRY(files.check_unchanged());
  const ParameterRows all{&parameter, 0, parameter.shape[0]};
  NARU_ASSIGN(const StoredRows rows, StoredRows::find(files, config, {&all, 1}));
  rows.widen(0, out);
  rows.drop(files);
  return files.check_unchanged();
}

void draw_parameter(const ModelConfig& config, const Parameter& parameter, int64_t index, uint64_t seed, double std,
                    float* out) {
  const int64_t n = parameter.n_elements();
  switch (parameter.use) {
    case ParameterUse::kNorm: std::fill_n(out, n, 1.0f); return;
    case ParameterUse::kBias:
    case ParameterUse::kRoutingBias: std::fill_n(out, n, 0.0f); return;
    case ParameterUse::kNone:
    case ParameterUse::kMatrix:
    case ParameterUse::kResidual:
    case ParameterUse::kEmbedding:
    case ParameterUse::kHead:
    case ParameterUse::kRouter: break;
  }
  const double deviation =
      parameter.use == ParameterUse::kResidual ? std / std::sqrt(2.0 * static_cast<double>(config.layers)) : std;
  for (int64_t i = 0; i < n; i += 2) {
    const auto [a, b] =
        normal_pair(draw(seed, DrawPurpose::kInit, static_cast<uint32_t>(index), static_cast<uint64_t>(i / 2)));
    out[i] = static_cast<float>(deviation * a);
    if (i + 1 < n) out[i + 1] = static_cast<float>(deviation * b);
  }
}

}  // namespace naru::models
