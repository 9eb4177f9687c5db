#include "models/weight_loader.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/float_bits.h"

namespace naru::models {

using contract::ComputeMode;
using contract::MatrixSource;
using contract::Rule;
using Matrix = WeightLoader::Matrix;

WeightLoader::WeightLoader(const formats::TensorFiles& files, const formats::ModelConfig& config, contract::Chip& chip,
                           Options options)
    : config_(config),
      files_(&files),
      chip_(&chip),
      is_planning_(chip.info().is_planner),
      options_(std::move(options)) {}

WeightLoader::WeightLoader(const formats::ModelConfig& config, contract::Chip& chip, ComputeMode compute,
                           LoadedParameters& loaded)
    : config_(config), chip_(&chip), loaded_(&loaded), is_planning_(chip.info().is_planner) {
  options_.compute = compute;
}

WeightLoader::WeightLoader(const formats::ModelConfig& config) : config_(config) {}

int64_t WeightLoader::record(Role role, int64_t layer, int64_t expert) {
  const TensorRow& row = row_of(config_.family, role);
  std::string name = tensor_name(config_.family, role, false, layer, expert);
  const auto [at, is_new] = index_by_name_.try_emplace(name, std::ssize(parameters_));
  if (is_new) parameters_.push_back({std::move(name), row.shape(config_), row.use, &row, layer, expert});
  return at->second;
}

WeightLoader::Rows WeightLoader::whole(int64_t parameter) const {
  return {parameter, 0, parameters_[static_cast<size_t>(parameter)].rows()};
}

void WeightLoader::count(const StoredTensor& tensor) {
  const std::string& name = tensor.entry->name;
  if (!tensor.scale_name.empty()) taken_.push_back(tensor.scale_name);
  taken_.push_back(name);
  if (!counted_.insert(name).second) return;  // one tensor may be the source of several matrices
  file_bytes_ += tensor.entry->bytes;
}

Result<StoredRows> WeightLoader::find(const std::vector<Rows>& groups) {
  std::vector<ParameterRows> wanted;
  for (const Rows& rows : groups) {
    wanted.push_back({&parameters_[static_cast<size_t>(rows.parameter)], rows.row_begin, rows.n_rows});
  }
  NARU_ASSIGN(StoredRows stored, StoredRows::find(*files_, config_, wanted));
  for (const StoredTensor& tensor : stored.tensors()) count(tensor);
  return stored;
}

bool WeightLoader::is_lookup(const TensorRow& row) const {
  return row.use == ParameterUse::kEmbedding && !config_.tie_embeddings;
}

Rule WeightLoader::rule_for(DType stored, const TensorRow& row) const {
  if (row.use == ParameterUse::kRouter) return Rule::kF32;
  if (is_lookup(row) && options_.compute == ComputeMode::kF32) return rule_of(stored, ComputeMode::kAuto);
  return rule_of(stored, options_.compute);
}

// In mode bf16 a router's parameters are rounded like all others though its product is by the f32 rule.
bool WeightLoader::is_rounded_first(Rule rule) const {
  return rule == Rule::kF32 && options_.compute == ComputeMode::kBF16;
}

Status WeightLoader::finish(const StoredRows& stored) {
  for (const StoredTensor& tensor : stored.tensors()) files_->drop(*tensor.entry, 0, tensor.entry->bytes);
  if (options_.progress && !options_.progress(file_bytes_, options_.progress_total)) {
    return Error{Code::kCancelled, fmt::format("loading {}: stopped after {} of {} bytes as asked; nothing was changed",
                                               files_->folder().string(), file_bytes_, options_.progress_total)};
  }
  return {};
}

Result<Matrix> WeightLoader::pack(const std::vector<Rows>& groups, bool is_transposed) {
  if (chip_ == nullptr) return Matrix();
  MatrixSource source;
  source.groups = std::ssize(groups);
  source.outputs = groups[0].n_rows;
  source.inputs = parameters_[static_cast<size_t>(groups[0].parameter)].cols();
  if (is_transposed) std::swap(source.outputs, source.inputs);
  return files_ != nullptr ? pack_stored(groups, is_transposed, std::move(source))
                           : pack_zeros(groups, is_transposed, std::move(source));
}

namespace {

// The first whose kind is not that of the others.
Status check_one_kind(const formats::TensorFiles& files, const std::vector<StoredTensor>& tensors) {
  const DType stored = tensors.front().dtype;
  for (const StoredTensor& tensor : tensors) {
    if (tensor.dtype == stored) continue;
    return Error{Code::kUnsupported, fmt::format("loading {}: tensor '{}' is stored as {} but its neighbours as {}; "
                                                 "convert the file to one kind",
                                                 files.folder().string(), tensor.entry->name, dtype_name(tensor.dtype),
                                                 dtype_name(stored))};
  }
  return {};
}

// The groups in f32 one after another, each transposed where it is told.
std::vector<float> widened(const StoredRows& stored, const MatrixSource& source, bool is_transposed) {
  const int64_t rows = is_transposed ? source.inputs : source.outputs;
  const int64_t cols = is_transposed ? source.outputs : source.inputs;
  std::vector<float> values(static_cast<size_t>(source.groups * rows * cols));
  std::vector<float> group_rows(is_transposed ? static_cast<size_t>(rows * cols) : 0);
  for (int64_t group = 0; group < source.groups; ++group) {
    float* const out = values.data() + group * rows * cols;
    stored.widen(static_cast<size_t>(group), is_transposed ? group_rows.data() : out);
    if (!is_transposed) continue;
    for (int64_t row = 0; row < rows; ++row) {
      for (int64_t k = 0; k < cols; ++k) out[k * rows + row] = group_rows[static_cast<size_t>(row * cols + k)];
    }
  }
  return values;
}

}  // namespace

// Lines of the file go to the chip as they are stored where its rule reads that kind, otherwise as f32. What the file
// does not hold as lines is turned in f32.
Result<Matrix> WeightLoader::pack_stored(const std::vector<Rows>& groups, bool is_transposed, MatrixSource source) {
  NARU_ASSIGN(const StoredRows stored, find(groups));
  const DType dtype = stored.tensors().front().dtype;
  const bool is_turned = is_transposed != stored.are_columns();
  const TensorRow& row = *parameters_[static_cast<size_t>(groups[0].parameter)].row;
  const Rule rule = is_turned ? transposed_rule_of(dtype, options_.compute) : rule_for(dtype, row);
  NARU_TRY(check_one_kind(*files_, stored.tensors()));
  const bool rounds = is_rounded_first(rule);
  const bool is_direct =
      !is_turned && !rounds &&
      (contract::is_block_rule(rule) ? contract::block_dtype(rule) == dtype
                                     : !is_quantised(dtype) && dtype != DType::kF8E4M3 && dtype != DType::kF64);
  std::vector<float> turned;
  if (is_turned && !is_planning_) turned = widened(stored, source, is_transposed);
  source.dtype = is_direct ? dtype : DType::kF32;
  source.row = [&](int64_t group, int64_t output, std::byte* scratch) {  // a planner asks for none
    auto* values = reinterpret_cast<float*>(scratch);
    if (is_turned) {
      std::copy_n(turned.data() + (group * source.outputs + output) * source.inputs, source.inputs, values);
    } else {
      const auto [tensor, line] = stored.line(static_cast<size_t>(group), output);
      if (is_direct) return stored.tensors()[tensor].row(line);
      stored.tensors()[tensor].widen(line, values);
    }
    for (int64_t k = 0; k < source.inputs && rounds; ++k) values[k] = round_to_bf16(values[k]);
    return static_cast<const std::byte*>(scratch);
  };
  chip_bytes_ += chip_->packed_bytes(source.dtype, rule, source.groups, source.outputs, source.inputs);
  if (is_planning_) return chip_->pack(source, rule);
  NARU_TRY(files_->check_unchanged());
  NARU_ASSIGN(auto packed, chip_->pack(source, rule));
  NARU_TRY(finish(stored));
  return packed;
}

Result<Matrix> WeightLoader::pack_zeros(const std::vector<Rows>& groups, bool is_transposed, MatrixSource source) {
  const TensorRow& row = *parameters_[static_cast<size_t>(groups[0].parameter)].row;
  const Rule rule = rule_for(DType::kF32, row);
  source.dtype = DType::kF32;
  source.row = [n = source.inputs](int64_t, int64_t, std::byte* scratch) {
    std::fill_n(scratch, n * int64_t{sizeof(float)}, std::byte{0});
    return static_cast<const std::byte*>(scratch);
  };
  chip_bytes_ += chip_->packed_bytes(source.dtype, rule, source.groups, source.outputs, source.inputs);
  NARU_ASSIGN(auto packed, chip_->pack(source, rule));
  loaded_->matrices.push_back({.matrix = packed.get(),
                               .groups = groups,
                               .is_transposed = is_transposed,
                               .is_rounded_first = is_rounded_first(rule),
                               .is_lookup = is_lookup(row)});
  return packed;
}

Result<Matrix> WeightLoader::matrix(Role role, int64_t layer) {
  return pack({whole(record(role, layer))}, false);
}

Result<Matrix> WeightLoader::head_matrices(Role role, int64_t layer, int64_t row_begin, int64_t n_rows,
                                           bool is_transposed) {
  const int64_t parameter = record(role, layer);
  const int64_t head_rows = parameters_[static_cast<size_t>(parameter)].rows() / config_.heads;
  std::vector<Rows> groups;
  for (int64_t head = 0; head < config_.heads; ++head) {
    groups.push_back({parameter, head * head_rows + row_begin, n_rows});
  }
  return pack(groups, is_transposed);
}

Result<WeightLoader::Experts> WeightLoader::experts(int64_t layer) {
  std::vector<Rows> gate, up, down;
  for (int64_t expert = 0; expert < config_.moe.experts; ++expert) {
    gate.push_back(whole(record(Role::kExpertGate, layer, expert)));
    up.push_back(whole(record(Role::kExpertUp, layer, expert)));
    down.push_back(whole(record(Role::kExpertDown, layer, expert)));
  }
  Experts result;
  NARU_ASSIGN(result.gate, pack(gate, false));
  NARU_ASSIGN(result.up, pack(up, false));
  NARU_ASSIGN(result.down, pack(down, false));
  return result;
}

Result<std::vector<float>> WeightLoader::host_vector(Role role) {
  NARU_CHECK(files_ != nullptr, "values of no file", static_cast<int>(role));
  NARU_ASSIGN(const StoredTensor stored, find_stored_tensor(*files_, config_, role));
  count(stored);
  std::vector<float> values(static_cast<size_t>(stored.cols));
  stored.widen(0, values.data());
  return values;
}

Result<nn::Vector> WeightLoader::vector(Role role, int64_t layer) {
  const int64_t parameter = record(role, layer);
  if (chip_ == nullptr) return nn::Vector();
  const Parameter& taken = parameters_[static_cast<size_t>(parameter)];
  const bool is_rounded = options_.compute == ComputeMode::kBF16 && taken.use != ParameterUse::kRoutingBias;
  std::vector<float> values(static_cast<size_t>(taken.cols()));
  if (files_ != nullptr) {
    NARU_ASSIGN(const StoredRows stored, find({whole(parameter)}));
    if (!is_planning_) stored.widen(0, values.data());
  }
  for (float& value : values) value = is_rounded ? round_to_bf16(value) : value;
  NARU_ASSIGN(nn::Vector made, constant(values));
  if (loaded_ != nullptr) loaded_->vectors.push_back({made.view, parameter, is_rounded});
  return made;
}

Result<nn::Vector> WeightLoader::constant(const std::vector<float>& values) {
  const auto n = static_cast<int64_t>(values.size());
  chip_bytes_ += n * 4;
  nn::Vector vector;
  NARU_ASSIGN(vector.buffer, chip_->allocate(n * 4));
  NARU_TRY(chip_->copy_in(vector.buffer->address(), values.data(), n * 4));
  vector.view = make_view(vector.buffer->address(), DType::kF32, 1, n);
  return vector;
}

}  // namespace naru::models
