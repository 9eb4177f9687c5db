// WeightLoader: takes parameters by role and puts them on a chip. The same calls, in the walk over a family's decoder,
// do four things. On the planner of the chip every tensor of the checkpoint is found, its shape compared with the
// config's, its size on the chip added up; no weight is read. On the chip they are packed tensor by tensor, the file's
// pages given back behind them. Without files everything is made with zeros: whoever trains a model fills it from
// values of its own. Without a chip nothing is made, and the parameters are recorded.
#pragma once

#include <functional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "contract/chip.h"
#include "formats/model_config.h"
#include "formats/tensor_file.h"
#include "models/loaded_parameters.h"
#include "models/stored_rows.h"
#include "nn/context.h"

namespace naru::models {

// Bytes of the file that are on the chip, and of all that will be. Returning false cancels.
using LoadProgress = std::function<bool(int64_t done, int64_t total)>;

class WeightLoader {
 public:
  struct Options {
    contract::ComputeMode compute = contract::ComputeMode::kAuto;
    LoadProgress progress;
    int64_t progress_total = 0;
  };

  // From a checkpoint.
  WeightLoader(const formats::TensorFiles& files, const formats::ModelConfig& config, contract::Chip& chip,
               Options options);
  // Of zeros, told to `loaded`.
  WeightLoader(const formats::ModelConfig& config, contract::Chip& chip, contract::ComputeMode compute,
               LoadedParameters& loaded);
  // Nothing at all.
  explicit WeightLoader(const formats::ModelConfig& config);

  using Matrix = std::unique_ptr<contract::PackedMatrix>;

  // A matrix by the rule of its kind under the compute mode: a router by the f32 rule in every mode; a table that is
  // only looked up as it is stored, except in mode bf16.
  Result<Matrix> matrix(Role role, int64_t layer = 0);
  // Rows [row_begin, row_begin + n_rows) of each head's part of a matrix: heads x [n_rows, inputs], or transposed
  // heads x [inputs, n_rows].
  Result<Matrix> head_matrices(Role role, int64_t layer, int64_t row_begin, int64_t n_rows, bool is_transposed);
  // Of every expert of the layer.
  struct Experts {
    Matrix gate, up, down;
  };
  Result<Experts> experts(int64_t layer);

  // f32 [1, n] on the chip; rounded to bf16 in mode bf16, but for the routing bias.
  Result<nn::Vector> vector(Role role, int64_t layer = 0);
  Result<nn::Vector> constant(const std::vector<float>& values);
  // The values of a tensor that is no parameter, for host use.
  Result<std::vector<float>> host_vector(Role role);

  // Everything taken so far, each once, in the order of the walk.
  const std::vector<Parameter>& parameters() const { return parameters_; }
  int64_t chip_bytes() const { return chip_bytes_; }  // of everything taken so far
  int64_t file_bytes() const { return file_bytes_; }  // of the tensors taken, each once
  // Names of tensors taken, for finding those that nobody asked for.
  const std::vector<std::string>& taken() const { return taken_; }

 private:
  using Rows = LoadedParameters::Rows;

  int64_t record(Role role, int64_t layer, int64_t expert = 0);
  Rows whole(int64_t parameter) const;
  void count(const StoredTensor& tensor);
  Result<StoredRows> find(const std::vector<Rows>& groups);
  bool is_lookup(const TensorRow& row) const;
  contract::Rule rule_for(DType stored, const TensorRow& row) const;
  Result<Matrix> pack(const std::vector<Rows>& groups, bool is_transposed);
  Result<Matrix> pack_stored(const std::vector<Rows>& groups, bool is_transposed, contract::MatrixSource source);
  Result<Matrix> pack_zeros(const std::vector<Rows>& groups, bool is_transposed, contract::MatrixSource source);
  bool is_rounded_first(contract::Rule rule) const;
  Status finish(const StoredRows& stored);

  const formats::ModelConfig& config_;
  const formats::TensorFiles* files_ = nullptr;
  contract::Chip* chip_ = nullptr;
  LoadedParameters* loaded_ = nullptr;
  bool is_planning_ = false;
  Options options_;
  int64_t chip_bytes_ = 0;
  int64_t file_bytes_ = 0;
  std::vector<std::string> taken_;
  std::unordered_set<std::string> counted_;
  std::vector<Parameter> parameters_;
  std::unordered_map<std::string, int64_t> index_by_name_;
};

}  // namespace naru::models
