#include "models/weight_loader.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/float_bits.h"

namespace naru::models {

using contract::ComputeMode;
using contract::MatrixSource;
using contract::PackedMatrix;
using contract::Rule;

WeightLoader::WeightLoader(const formats::TensorFiles& files, const formats::ModelConfig& config,
                           std::span<const NameRow> names, contract::Chip& chip, Options options)
    : files_(files),
      config_(config),
      names_(names),
      chip_(chip),
      is_planning_(chip.info().is_planner),
      options_(std::move(options)) {}

bool WeightLoader::has(Place place) const {
  const std::string name = tensor_name(names_, place.role, config_.from_gguf, place.layer, place.expert);
  return !name.empty() && files_.find(name) != nullptr;
}

Result<StoredTensor> WeightLoader::find(Place place, const std::vector<int64_t>& shape_a,
                                        const std::vector<int64_t>& shape_b) {
  const std::string name = tensor_name(names_, place.role, config_.from_gguf, place.layer, place.expert);
  NARU_ASSIGN(StoredTensor stored, find_stored_tensor(files_, config_, name, shape_a, shape_b));
  if (!stored.scale_name.empty()) taken_.push_back(stored.scale_name);
  taken_.push_back(name);
  if (!counted_.insert(name).second) return stored;  // one tensor may be the source of two matrices
  file_bytes_ += stored.entry->bytes;
  n_parameters_ += stored.entry->n_elements();
  return stored;
}

Rule WeightLoader::rule_for(DType stored, Use use) const {
  if (use == Use::kRouter) return Rule::kF32;
  if (use == Use::kLookup && options_.compute == ComputeMode::kF32) return rule_of(stored, ComputeMode::kAuto);
  return rule_of(stored, options_.compute);
}

Status WeightLoader::finish(const std::vector<StoredTensor>& tensors) {
  for (const StoredTensor& tensor : tensors) files_.drop(*tensor.entry, 0, tensor.entry->bytes);
  if (options_.progress && !options_.progress(file_bytes_, options_.progress_total)) {
    return Error{Code::kCancelled, fmt::format("loading {}: stopped after {} of {} bytes as asked; nothing was changed",
                                               files_.folder().string(), file_bytes_, options_.progress_total)};
  }
  return {};
}

Result<std::unique_ptr<PackedMatrix>> WeightLoader::pack(
    const std::vector<StoredTensor>& tensors, Rule rule, int64_t groups, int64_t outputs, int64_t inputs,
    const std::function<std::pair<size_t, int64_t>(int64_t group, int64_t output)>& row_at) {
  const DType stored = tensors.front().dtype;
  for (const StoredTensor& tensor : tensors) {
    if (tensor.dtype == stored) continue;
    return Error{Code::kUnsupported, fmt::format("loading {}: tensor '{}' is stored as {} but its neighbours as {}; "
                                                 "convert the file to one kind",
                                                 files_.folder().string(), tensor.entry->name, dtype_name(tensor.dtype),
                                                 dtype_name(stored))};
  }
  // Rows go to the chip as stored where its rule reads that kind; otherwise as f32. In mode bf16 a router's
  // parameters are rounded like all others though its product is by the f32 rule.
  const bool is_rounded_first = rule == Rule::kF32 && options_.compute == ComputeMode::kBF16;
  const bool is_direct =
      !is_rounded_first &&
      (contract::is_block_rule(rule) ? contract::block_dtype(rule) == stored
                                     : !is_quantised(stored) && stored != DType::kF8E4M3 && stored != DType::kF64);
  MatrixSource source;
  source.dtype = is_direct ? stored : DType::kF32;
  source.groups = groups;
  source.outputs = outputs;
  source.inputs = inputs;
  source.row = [&](int64_t group, int64_t output, std::byte* scratch) {
    if (!has_values()) {
      std::fill_n(scratch, inputs * int64_t{sizeof(float)}, std::byte{0});
      return static_cast<const std::byte*>(scratch);
    }
    const auto [tensor, row] = row_at(group, output);
    if (is_direct) return tensors[tensor].row(row);
    auto* values = reinterpret_cast<float*>(scratch);
    tensors[tensor].widen(row, values);
    for (int64_t k = 0; k < inputs && is_rounded_first; ++k) values[k] = round_to_bf16(values[k]);
    return static_cast<const std::byte*>(scratch);
  };
  chip_bytes_ += chip_.packed_bytes(source.dtype, rule, groups, outputs, inputs);
  if (is_planning_) return chip_.pack(source, rule);
  NARU_TRY(files_.check_unchanged());
  NARU_ASSIGN(auto packed, chip_.pack(source, rule));
  NARU_TRY(finish(tensors));
  return packed;
}

void WeightLoader::tell(PackedMatrix& matrix, const std::vector<StoredTensor>& tensors, const Parts& parts,
                        bool is_transposed, Use use) {
  if (options_.loaded == nullptr) return;
  LoadedParameters::Matrix loaded;
  loaded.matrix = &matrix;
  loaded.is_transposed = is_transposed;
  loaded.is_rounded_first = use == Use::kRouter && options_.compute == ComputeMode::kBF16;
  loaded.is_lookup = use == Use::kLookup;
  for (int64_t group = 0; group < matrix.groups; ++group) {
    const bool is_one = tensors.size() == 1;
    const StoredTensor& tensor = is_one ? tensors[0] : tensors[static_cast<size_t>(group)];
    loaded.groups.push_back(
        {tensor.entry->name, is_one ? group * parts.part_rows + parts.row_begin : 0, parts.outputs});
  }
  options_.loaded->matrices.push_back(std::move(loaded));
}

Result<std::unique_ptr<PackedMatrix>> WeightLoader::matrix(Place place, int64_t outputs, int64_t inputs, Use use,
                                                           const RowOrder& row_order) {
  std::vector<StoredTensor> tensors(1);
  NARU_ASSIGN(tensors[0], find(place, {outputs, inputs}, {outputs, inputs}));
  const Rule rule = rule_for(tensors[0].dtype, use);
  NARU_CHECK(options_.loaded == nullptr || !row_order, "rows out of order cannot be trained");
  NARU_ASSIGN(auto packed, pack(tensors, rule, 1, outputs, inputs, [&](int64_t, int64_t output) {
                return std::pair<size_t, int64_t>(0, row_order ? row_order(output) : output);
              }));
  tell(*packed, tensors, {.part_rows = outputs, .outputs = outputs, .inputs = inputs}, false, use);
  return packed;
}

Result<std::unique_ptr<PackedMatrix>> WeightLoader::grouped_matrix(Place place, const Parts& parts) {
  std::vector<StoredTensor> tensors(1);
  NARU_ASSIGN(tensors[0], find(place, {parts.groups * parts.part_rows, parts.inputs},
                               {parts.groups, parts.part_rows, parts.inputs}));
  const Rule rule = rule_for(tensors[0].dtype, Use::kProduct);
  NARU_ASSIGN(auto packed,
              pack(tensors, rule, parts.groups, parts.outputs, parts.inputs, [&](int64_t group, int64_t output) {
                return std::pair<size_t, int64_t>(0, group * parts.part_rows + parts.row_begin + output);
              }));
  tell(*packed, tensors, parts, false, Use::kProduct);
  return packed;
}

Result<std::unique_ptr<PackedMatrix>> WeightLoader::transposed_matrix(Place place, const Parts& parts) {
  std::vector<StoredTensor> tensors(1);
  NARU_ASSIGN(tensors[0], find(place, {parts.groups * parts.part_rows, parts.inputs},
                               {parts.groups, parts.part_rows, parts.inputs}));
  const Rule rule = transposed_rule_of(tensors[0].dtype, options_.compute);
  // The transposed matrix in f32, then packed like any other: [groups][inputs][outputs].
  std::vector<float> values;
  if (has_values()) {
    values.resize(static_cast<size_t>(parts.groups * parts.inputs * parts.outputs));
    std::vector<float> row(static_cast<size_t>(parts.inputs));
    for (int64_t group = 0; group < parts.groups; ++group) {
      for (int64_t output = 0; output < parts.outputs; ++output) {
        tensors[0].widen(group * parts.part_rows + parts.row_begin + output, row.data());
        for (int64_t k = 0; k < parts.inputs; ++k) {
          values[static_cast<size_t>((group * parts.inputs + k) * parts.outputs + output)] =
              row[static_cast<size_t>(k)];
        }
      }
    }
  }
  std::vector<StoredTensor> transposed(1);
  transposed[0].entry = tensors[0].entry;
  transposed[0].data = reinterpret_cast<const std::byte*>(values.data());
  transposed[0].cols = parts.outputs;
  transposed[0].row_bytes = parts.outputs * 4;
  NARU_ASSIGN(auto packed,
              pack(transposed, rule, parts.groups, parts.inputs, parts.outputs, [&](int64_t group, int64_t output) {
                return std::pair<size_t, int64_t>(0, group * parts.inputs + output);
              }));
  tell(*packed, tensors, parts, true, Use::kProduct);
  return packed;
}

Result<std::unique_ptr<PackedMatrix>> WeightLoader::expert_matrices(Role role, int64_t layer, int64_t experts,
                                                                    int64_t outputs, int64_t inputs) {
  std::vector<StoredTensor> tensors(static_cast<size_t>(experts));
  for (int64_t e = 0; e < experts; ++e) {
    NARU_ASSIGN(tensors[static_cast<size_t>(e)],
                find({.role = role, .layer = layer, .expert = e}, {outputs, inputs}, {outputs, inputs}));
  }
  const Rule rule = rule_for(tensors[0].dtype, Use::kProduct);
  NARU_ASSIGN(auto packed, pack(tensors, rule, experts, outputs, inputs, [](int64_t group, int64_t output) {
                return std::pair<size_t, int64_t>(static_cast<size_t>(group), output);
              }));
  tell(*packed, tensors, {.part_rows = outputs, .outputs = outputs, .inputs = inputs}, false, Use::kProduct);
  return packed;
}

Result<std::vector<float>> WeightLoader::host_vector(Place place, int64_t n) {
  NARU_ASSIGN(const StoredTensor stored, find(place, {n}, {n}));
  std::vector<float> values(static_cast<size_t>(n));
  stored.widen(0, values.data());
  return values;
}

Result<nn::Vector> WeightLoader::vector(Place place, int64_t n, bool is_exact, const RowOrder& order) {
  NARU_ASSIGN(const StoredTensor stored, find(place, {n}, {n}));
  std::vector<float> values(static_cast<size_t>(n));
  if (has_values()) stored.widen(0, values.data());
  if (order) {
    const std::vector<float> in_file = values;
    for (int64_t i = 0; i < n; ++i) values[static_cast<size_t>(i)] = in_file[static_cast<size_t>(order(i))];
  }
  if (options_.compute == ComputeMode::kBF16 && !is_exact) {
    for (float& value : values) value = round_to_bf16(value);
  }
  NARU_ASSIGN(nn::Vector made, constant(values));
  if (options_.loaded != nullptr) {
    options_.loaded->vectors.push_back({made.view, taken_.back(), options_.compute == ComputeMode::kBF16 && !is_exact});
  }
  return made;
}

Result<nn::Vector> WeightLoader::constant(const std::vector<float>& values) {
  const auto n = static_cast<int64_t>(values.size());
  chip_bytes_ += n * 4;
  nn::Vector vector;
  NARU_ASSIGN(vector.buffer, chip_.allocate(n * 4));
  NARU_TRY(chip_.copy_in(vector.buffer->address(), values.data(), n * 4));
  vector.view = make_view(vector.buffer->address(), DType::kF32, 1, n);
  return vector;
}

}  // namespace naru::models
