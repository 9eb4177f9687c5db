#include "models/stored_rows.h"

#include <algorithm>

namespace naru::models {
namespace {

using formats::ModelConfig;
using formats::TensorFiles;

constexpr size_t kNowhere = SIZE_MAX;

// GGUF files of the llama architecture hold the rows of q and k in interleaved order: file row 2i + j of a head is
// channel j * head_dim / 2 + i. The file's row that holds row `row` of the model:
int64_t interleaved_row(int64_t row, int64_t head_dim) {
  const int64_t half = head_dim / 2, channel = row % head_dim;
  return row - channel + 2 * (channel % half) + channel / half;
}

// Chooses the layout of one parameter.
class Placing {
 public:
  Placing(const ModelConfig& config, const Parameter& parameter, const TensorFiles* files)
      : config_(config), parameter_(parameter), files_(files) {
    NARU_CHECK(parameter.row != nullptr, "no parameter of a model", parameter.name);
  }

  Placement place() {
    const TensorRow& row = *parameter_.row;
    switch (row.layout) {
      case Layout::kPlain: break;
      case Layout::kTable:
        if (config_.tie_embeddings && !has(row.role) && has(Role::kHead)) return whole(Role::kHead);
        break;
      case Layout::kRotated:
        whole(row.role);
        if (config_.rope.interleaved && !config_.is_mla()) placement_.interleaved_width = config_.head_dim;
        return placement_;
      case Layout::kLatent: return has(row.role) || !config_.from_gguf ? by_heads() : split();
      case Layout::kExpert: return expert();
    }
    return whole(row.role);
  }

 private:
  std::string name_of(Role role) const {
    return tensor_name(config_.family, role, config_.from_gguf, parameter_.layer, parameter_.expert);
  }
  bool has(Role role) const {
    const std::string name = name_of(role);
    return files_ != nullptr && !name.empty() && files_->find(name) != nullptr;
  }
  // A tensor of `groups` matrices [rows, cols], of which the parameter has n_rows rows from `first` on.
  void add(Role role, int64_t groups, int64_t rows, int64_t cols, int64_t first, int64_t n_rows) {
    placement_.tensors.push_back({name_of(role), {groups, rows, cols}, {groups * rows, cols}, first, n_rows});
  }
  Placement whole(Role role) {
    const std::vector<int64_t>& shape = parameter_.shape;
    placement_.tensors.push_back({name_of(role), shape, shape, 0, shape[0]});
    return placement_;
  }
  Placement by_heads() {
    add(parameter_.row->role, config_.heads, parameter_.rows() / config_.heads, parameter_.cols(), 0,
        parameter_.rows());
    return placement_;
  }
  // kv_b [heads x (nope + v), latent] as attn_k_b (heads x [latent, nope]) and attn_v_b (heads x [v, latent]).
  Placement split() {
    const int64_t heads = config_.heads, nope = config_.mla.qk_nope_head_dim, latent = parameter_.cols();
    const int64_t v = parameter_.rows() / heads - nope;
    add(Role::kAbsorbK, heads, latent, nope, 0, heads * latent);
    add(Role::kExpandV, heads, v, latent, 0, heads * v);
    placement_.head_rows = nope + v;
    placement_.key_rows = nope;
    placement_.key_cols = latent;
    return placement_;
  }
  Placement expert() {
    const int64_t rows = parameter_.rows(), cols = parameter_.cols(), n = config_.moe.experts, e = parameter_.expert;
    const Role role = parameter_.row->role;
    const bool is_fused = has(Role::kExpertsGateUp);
    if (!is_fused && !config_.from_gguf) return whole(role);
    if (!is_fused || role == Role::kExpertDown) {
      add(is_fused ? Role::kExpertsDown : role, n, rows, cols, e * rows, rows);
    } else {
      const int64_t begin = role == Role::kExpertUp ? rows : 0;
      add(Role::kExpertsGateUp, n, 2 * rows, cols, e * 2 * rows + begin, rows);
    }
    return placement_;
  }

  const ModelConfig& config_;
  const Parameter& parameter_;
  const TensorFiles* files_;
  Placement placement_;
};

}  // namespace

Placement::Spot Placement::spot(int64_t row) const {
  if (head_rows > 0) {
    const int64_t head = row / head_rows, i = row % head_rows;
    if (i < key_rows) return {.tensor = 0, .row = head * key_cols, .column = i};
    return {.tensor = 1, .row = head * (head_rows - key_rows) + i - key_rows};
  }
  return {.row = tensors[0].first + (interleaved_width > 0 ? interleaved_row(row, interleaved_width) : row)};
}

int64_t Placement::unit_rows(const Parameter& parameter) const {
  if (parameter.shape.size() == 1) return parameter.shape[0];
  return std::max({head_rows, interleaved_width, int64_t{1}});
}

Placement::Stretch Placement::stretch(size_t tensor, const ParameterRows& rows) const {
  const int64_t unit = unit_rows(*rows.parameter);
  NARU_CHECK(rows.row_begin % unit == 0 && rows.n_rows % unit == 0, rows.parameter->name, rows.row_begin, rows.n_rows);
  if (head_rows == 0) return {tensors[tensor].first + rows.row_begin, rows.n_rows};
  const int64_t of_a_head = tensor == 0 ? key_cols : head_rows - key_rows;
  return {rows.row_begin / head_rows * of_a_head, rows.n_rows / head_rows * of_a_head};
}

std::vector<float> Placement::arranged(size_t tensor, const ParameterRows& rows, std::span<const float> values) const {
  const Stretch to = stretch(tensor, rows);
  const int64_t cols = rows.parameter->n_elements() / rows.parameter->shape[0], out_cols = tensors[tensor].cols();
  std::vector<float> out(static_cast<size_t>(to.n_rows * out_cols));
  for (int64_t row = 0; row < rows.n_rows; ++row) {
    const Spot at = spot(rows.row_begin + row);
    if (at.tensor != tensor) continue;
    const float* const from = values.data() + row * cols;
    float* const start = out.data() + (at.row - to.first) * out_cols;
    if (at.column < 0) {
      std::copy_n(from, cols, start);
    } else {
      for (int64_t k = 0; k < cols; ++k) start[k * out_cols + at.column] = from[k];
    }
  }
  return out;
}

Placement placement_of(const ModelConfig& config, const Parameter& parameter, const TensorFiles* files) {
  return Placing(config, parameter, files).place();
}

Status StoredRows::find_tensor(const TensorFiles& files, const ModelConfig& config, Group& group, size_t which) {
  const Placement::Tensor& wanted = group.placement.tensors[which];
  for (size_t i = tensors_.size(); i-- > 0;) {  // experts and heads share theirs with the one before
    if (tensors_[i].entry->name == wanted.name) {
      group.tensors[which] = i;
      return {};
    }
    if (tensors_.size() - i == group.tensors.size()) break;
  }
  NARU_ASSIGN(StoredTensor stored, find_stored_tensor(files, config, wanted.name, wanted.flat_shape, wanted.shape));
  group.tensors[which] = tensors_.size();
  tensors_.push_back(std::move(stored));
  return {};
}

Result<StoredRows> StoredRows::find(const TensorFiles& files, const ModelConfig& config,
                                    std::span<const ParameterRows> groups) {
  StoredRows result;
  for (const ParameterRows& rows : groups) {
    Group group{rows, placement_of(config, *rows.parameter, &files), {}};
    group.tensors.assign(group.placement.tensors.size(), kNowhere);
    const size_t first = group.placement.spot(rows.row_begin).tensor;
    const size_t last = group.placement.spot(rows.row_begin + rows.n_rows - 1).tensor;
    for (size_t which = first; which <= last; ++which) NARU_TRY(result.find_tensor(files, config, group, which));
    result.groups_.push_back(std::move(group));
  }
  return result;
}

std::pair<size_t, int64_t> StoredRows::line(size_t group, int64_t line) const {
  const Group& of = groups_[group];
  const Placement::Spot at = are_columns() ? first_spot(group) : of.placement.spot(of.rows.row_begin + line);
  return {of.tensors[at.tensor], at.column < 0 ? at.row : at.row + line};
}

void StoredRows::widen(size_t group, float* out) const {
  const Group& of = groups_[group];
  const Parameter& parameter = *of.rows.parameter;
  if (parameter.shape.size() == 1) {  // one row of the file, whose values may lie in another order
    std::vector<float> in_file(static_cast<size_t>(parameter.cols()));
    tensors_[of.tensors[0]].widen(0, in_file.data());
    for (int64_t i = 0; i < parameter.cols(); ++i) out[i] = in_file[static_cast<size_t>(of.placement.spot(i).row)];
    return;
  }
  const int64_t cols = parameter.cols();
  std::vector<float> line;
  for (int64_t row = 0; row < of.rows.n_rows;) {
    const Placement::Spot at = of.placement.spot(of.rows.row_begin + row);
    const StoredTensor& stored = tensors_[of.tensors[at.tensor]];
    if (at.column < 0) {
      stored.widen(at.row, out + row++ * cols);
      continue;
    }
    // All columns of this head that are wanted, line by line.
    const int64_t n = std::min(of.placement.key_rows - at.column, of.rows.n_rows - row);
    line.resize(static_cast<size_t>(stored.cols));
    for (int64_t k = 0; k < cols; ++k) {
      stored.widen(at.row + k, line.data());
      for (int64_t i = 0; i < n; ++i) out[(row + i) * cols + k] = line[static_cast<size_t>(at.column + i)];
    }
    row += n;
  }
}

void StoredRows::drop(const TensorFiles& files) const {
  for (const Group& group : groups_) {
    const int64_t unit = group.placement.unit_rows(*group.rows.parameter);
    const bool are_units = group.rows.row_begin % unit == 0 && group.rows.n_rows % unit == 0;
    for (size_t which = 0; which < group.tensors.size(); ++which) {
      if (group.tensors[which] == kNowhere) continue;
      const StoredTensor& stored = tensors_[group.tensors[which]];
      const Placement::Tensor& part = group.placement.tensors[which];
      Placement::Stretch rows{part.first, part.n_rows};
      if (are_units) rows = group.placement.stretch(which, group.rows);
      const bool is_vector = part.shape.size() == 1;
      files.drop(*stored.entry, is_vector ? 0 : rows.first * stored.row_bytes,
                 is_vector ? stored.entry->bytes : rows.n_rows * stored.row_bytes);
    }
  }
}

}  // namespace naru::models
