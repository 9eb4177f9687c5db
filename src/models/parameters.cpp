#include "models/parameters.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/double_math.h"
#include "base/philox.h"
#include "models/families.h"
#include "models/names.h"
#include "models/stored_tensor.h"

namespace naru::models {
namespace {

using formats::ModelConfig;

class List {
 public:
  explicit List(const ModelConfig& config) : config_(config), names_(names_of(config.family)) {}

  void add(Role role, ParameterUse use, std::vector<int64_t> shape, int64_t layer = 0, int64_t expert = 0) {
    std::string name = tensor_name(names_, role, false, layer, expert);
    NARU_CHECK(!name.empty(), static_cast<int>(role), family_name(config_.family));
    parameters_.push_back({std::move(name), std::move(shape), use});
  }
  void matrix(Role role, int64_t outputs, int64_t inputs, int64_t layer, int64_t expert = 0) {
    add(role, ParameterUse::kMatrix, {outputs, inputs}, layer, expert);
  }
  void norm(Role role, int64_t n, int64_t layer = 0) { add(role, ParameterUse::kNorm, {n}, layer); }
  void bias(Role role, int64_t n, int64_t layer) { add(role, ParameterUse::kBias, {n}, layer); }

  std::vector<Parameter> take() { return std::move(parameters_); }

 private:
  const ModelConfig& config_;
  std::span<const NameRow> names_;
  std::vector<Parameter> parameters_;
};

void add_grouped_attention(const ModelConfig& config, int64_t layer, List& list) {
  const int64_t q_rows = config.heads * config.head_dim, kv_rows = config.kv_heads * config.head_dim;
  list.matrix(Role::kQ, q_rows, config.hidden, layer);
  if (config.qkv_bias) list.bias(Role::kQBias, q_rows, layer);
  list.matrix(Role::kK, kv_rows, config.hidden, layer);
  if (config.qkv_bias) list.bias(Role::kKBias, kv_rows, layer);
  list.matrix(Role::kV, kv_rows, config.hidden, layer);
  if (config.qkv_bias) list.bias(Role::kVBias, kv_rows, layer);
  if (config.qk_norm) list.norm(Role::kQNorm, config.head_dim, layer);
  if (config.qk_norm) list.norm(Role::kKNorm, config.head_dim, layer);
  list.matrix(Role::kO, config.hidden, q_rows, layer);
  if (config.o_bias) list.bias(Role::kOBias, config.hidden, layer);
}

void add_latent_attention(const ModelConfig& config, int64_t layer, List& list) {
  const formats::MlaConfig& mla = config.mla;
  const int64_t q_rows = config.heads * (mla.qk_nope_head_dim + mla.qk_rope_head_dim);
  if (mla.q_lora_rank > 0) {
    list.matrix(Role::kQA, mla.q_lora_rank, config.hidden, layer);
    list.norm(Role::kQANorm, mla.q_lora_rank, layer);
    list.matrix(Role::kQB, q_rows, mla.q_lora_rank, layer);
  } else {
    list.matrix(Role::kQ, q_rows, config.hidden, layer);
  }
  list.matrix(Role::kKvA, mla.kv_lora_rank + mla.qk_rope_head_dim, config.hidden, layer);
  list.norm(Role::kKvANorm, mla.kv_lora_rank, layer);
  list.matrix(Role::kKvB, config.heads * (mla.qk_nope_head_dim + mla.v_head_dim), mla.kv_lora_rank, layer);
  list.matrix(Role::kO, config.hidden, config.heads * mla.v_head_dim, layer);
}

void add_experts(const ModelConfig& config, int64_t layer, List& list) {
  const formats::MoeConfig& moe = config.moe;
  list.add(Role::kRouter, ParameterUse::kRouter, {moe.experts, config.hidden}, layer);
  if (moe.has_bias) list.add(Role::kRouterBias, ParameterUse::kRoutingBias, {moe.experts}, layer);
  for (int64_t expert = 0; expert < moe.experts; ++expert) {
    list.matrix(Role::kExpertGate, moe.ffn, config.hidden, layer, expert);
    list.matrix(Role::kExpertUp, moe.ffn, config.hidden, layer, expert);
    list.matrix(Role::kExpertDown, config.hidden, moe.ffn, layer, expert);
  }
  if (moe.shared_experts == 0) return;
  list.matrix(Role::kSharedGate, moe.shared_experts * moe.ffn, config.hidden, layer);
  list.matrix(Role::kSharedUp, moe.shared_experts * moe.ffn, config.hidden, layer);
  list.matrix(Role::kSharedDown, config.hidden, moe.shared_experts * moe.ffn, layer);
}

void add_layer(const ModelConfig& config, int64_t layer, List& list) {
  list.norm(Role::kAttentionNorm, config.hidden, layer);
  if (config.is_mla()) {
    add_latent_attention(config, layer, list);
  } else {
    add_grouped_attention(config, layer, list);
  }
  list.norm(Role::kFeedForwardNorm, config.hidden, layer);
  if (config.is_moe_layer(layer)) return add_experts(config, layer, list);
  list.matrix(Role::kGate, config.ffn, config.hidden, layer);
  list.matrix(Role::kUp, config.ffn, config.hidden, layer);
  list.matrix(Role::kDown, config.hidden, config.ffn, layer);
}

void add_prediction(const ModelConfig& config, int64_t layer, List& list) {
  list.norm(Role::kPredictionEmbedNorm, config.hidden, layer);
  list.norm(Role::kPredictionHiddenNorm, config.hidden, layer);
  list.matrix(Role::kPredictionJoin, config.hidden, 2 * config.hidden, layer);
  add_layer(config, layer, list);
  list.norm(Role::kPredictionHeadNorm, config.hidden, layer);
}

// Reads one parameter out of whatever layout the file has.
class Reader {
 public:
  Reader(const formats::TensorFiles& files, const ModelConfig& config, const Parameter& parameter, NamedPlace place)
      : files_(files),
        config_(config),
        parameter_(parameter),
        place_(place),
        names_(names_of(config.family)),
        rows_(parameter.rows()),
        cols_(parameter.cols()) {}

  Status read(float* out) {
    NARU_TRY(files_.check_unchanged());
    if (!has(place_.role)) {
      switch (place_.role) {
        case Role::kEmbed:
          if (config_.tie_embeddings && has(Role::kHead)) place_.role = Role::kHead;  // one of the two is enough
          break;
        case Role::kKvB: return read_split_latent(out);
        case Role::kExpertGate:
          return has(Role::kExpertsGateUp) ? read_part(Role::kExpertsGateUp, 2 * rows_, 0, out)
                                           : read_part(Role::kExpertsGate, rows_, 0, out);
        case Role::kExpertUp:
          return has(Role::kExpertsGateUp) ? read_part(Role::kExpertsGateUp, 2 * rows_, rows_, out)
                                           : read_part(Role::kExpertsUp, rows_, 0, out);
        case Role::kExpertDown: return read_part(Role::kExpertsDown, rows_, 0, out);
        default: break;  // find() says what is missing
      }
    }
    return read_whole(out);
  }

 private:
  std::string name_of(Role role) const {
    return tensor_name(names_, role, config_.from_gguf, place_.layer, place_.expert);
  }
  bool has(Role role) const {
    const std::string name = name_of(role);
    return !name.empty() && files_.find(name) != nullptr;
  }
  // The tensor of a role as `groups` matrices [group_rows, cols], which a file may hold as one matrix or stacked.
  Result<StoredTensor> find(Role role, int64_t groups, int64_t group_rows, int64_t cols) const {
    return find_stored_tensor(files_, config_, name_of(role), {groups * group_rows, cols}, {groups, group_rows, cols});
  }
  void done(const StoredTensor& stored) const { files_.drop(*stored.entry, 0, stored.entry->bytes); }

  Status read_whole(float* out) {
    NARU_ASSIGN(const StoredTensor stored,
                find_stored_tensor(files_, config_, name_of(place_.role), parameter_.shape, whole_or_grouped()));
    const bool is_turned = config_.rope.interleaved && !config_.is_mla();
    const Role role = place_.role;
    if (is_turned && (role == Role::kQBias || role == Role::kKBias)) {
      std::vector<float> in_file(static_cast<size_t>(cols_));
      stored.widen(0, in_file.data());
      for (int64_t i = 0; i < cols_; ++i) {
        out[i] = in_file[static_cast<size_t>(interleaved_row(i, config_.head_dim))];
      }
    } else {
      const bool is_turned_matrix = is_turned && (role == Role::kQ || role == Role::kK);
      for (int64_t row = 0; row < rows_; ++row) {
        stored.widen(is_turned_matrix ? interleaved_row(row, config_.head_dim) : row, out + row * cols_);
      }
    }
    done(stored);
    return {};
  }

  // The other shape that a whole tensor may have: kv_b by heads.
  std::vector<int64_t> whole_or_grouped() const {
    if (place_.role != Role::kKvB) return parameter_.shape;
    return {config_.heads, rows_ / config_.heads, cols_};
  }

  // One expert's rows [begin, begin + rows) of a stack of matrices [part_rows, cols].
  Status read_part(Role role, int64_t part_rows, int64_t begin, float* out) {
    NARU_ASSIGN(const StoredTensor stored, find(role, config_.moe.experts, part_rows, cols_));
    const int64_t first = place_.expert * part_rows + begin;
    for (int64_t row = 0; row < rows_; ++row) stored.widen(first + row, out + row * cols_);
    files_.drop(*stored.entry, first * stored.row_bytes, rows_ * stored.row_bytes);
    return {};
  }

  // kv_b [heads x (nope + v), latent] of attn_k_b (heads x [latent, nope]) and attn_v_b (heads x [v, latent]).
  Status read_split_latent(float* out) {
    const int64_t heads = config_.heads, nope = config_.mla.qk_nope_head_dim, v = config_.mla.v_head_dim;
    NARU_ASSIGN(const StoredTensor keys, find(config_.from_gguf ? Role::kAbsorbK : Role::kKvB, heads, cols_, nope));
    NARU_ASSIGN(const StoredTensor values, find(Role::kExpandV, heads, v, cols_));
    std::vector<float> row(static_cast<size_t>(nope));
    for (int64_t head = 0; head < heads; ++head) {
      float* const top = out + head * (nope + v) * cols_;
      for (int64_t k = 0; k < cols_; ++k) {
        keys.widen(head * cols_ + k, row.data());
        for (int64_t i = 0; i < nope; ++i) top[i * cols_ + k] = row[static_cast<size_t>(i)];
      }
      for (int64_t i = 0; i < v; ++i) values.widen(head * v + i, top + (nope + i) * cols_);
    }
    done(keys);
    done(values);
    return {};
  }

  const formats::TensorFiles& files_;
  const ModelConfig& config_;
  const Parameter& parameter_;
  NamedPlace place_;
  std::span<const NameRow> names_;
  int64_t rows_;
  int64_t cols_;
};

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
    const std::vector<int64_t> shape{(config.is_mla() ? config.mla.qk_rope_head_dim : config.head_dim) / 2};
    const std::string name = tensor_name(names_of(config.family), Role::kRopeDivisors, config.from_gguf);
    NARU_ASSIGN(const StoredTensor stored, find_stored_tensor(files, config, name, shape, shape));
    plain.rope.divisors.resize(static_cast<size_t>(shape[0]));
    stored.widen(0, plain.rope.divisors.data());
  }
  return plain;
}

std::vector<Parameter> list_parameters(const ModelConfig& config) {
  List list(config);
  list.add(Role::kEmbed, ParameterUse::kEmbedding, {config.vocab, config.hidden});
  for (int64_t layer = 0; layer < config.layers; ++layer) add_layer(config, layer, list);
  list.norm(Role::kFinalNorm, config.hidden);
  if (!config.tie_embeddings) list.add(Role::kHead, ParameterUse::kHead, {config.vocab, config.hidden});
  for (int64_t depth = 0; depth < config.mtp_layers; ++depth) add_prediction(config, config.layers + depth, list);
  return list.take();
}

Status read_parameter(const formats::TensorFiles& files, const ModelConfig& config, const Parameter& parameter,
                      float* out) {
  const auto place = place_of(names_of(config.family), parameter.name);
  NARU_CHECK(place.has_value(), parameter.name, family_name(config.family));
  NARU_TRY(Reader(files, config, parameter, *place).read(out));
  return files.check_unchanged();
}

void draw_parameter(const ModelConfig& config, const Parameter& parameter, int64_t index, uint64_t seed, double std,
                    float* out) {
  const int64_t n = parameter.n_elements();
  switch (parameter.use) {
    case ParameterUse::kNorm: std::fill_n(out, n, 1.0f); return;
    case ParameterUse::kBias:
    case ParameterUse::kRoutingBias: std::fill_n(out, n, 0.0f); return;
    case ParameterUse::kMatrix:
    case ParameterUse::kEmbedding:
    case ParameterUse::kHead:
    case ParameterUse::kRouter: break;
  }
  const bool is_residual = parameter.name.ends_with(".o_proj.weight") || parameter.name.ends_with(".down_proj.weight");
  const double deviation = is_residual ? std / std::sqrt(2.0 * static_cast<double>(config.layers)) : std;
  for (int64_t i = 0; i < n; i += 2) {
    const auto [a, b] =
        normal_pair(draw(seed, DrawPurpose::kInit, static_cast<uint32_t>(index), static_cast<uint64_t>(i / 2)));
    out[i] = static_cast<float>(deviation * a);
    if (i + 1 < n) out[i + 1] = static_cast<float>(deviation * b);
  }
}

}  // namespace naru::models
