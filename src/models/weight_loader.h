// WeightLoader: takes parameters by role out of a checkpoint and puts them on a chip. The same calls run twice: first
// on the planner of the chip (every tensor is found, its shape compared with the config's, its size on the chip added
// up; no weight is read), then loading (packed tensor by tensor, the file's pages given back behind it).
//
// Told to fill a LoadedParameters it makes everything with zeros: whoever trains a model fills it from values of its
// own.
#pragma once

#include <functional>
#include <string>
#include <unordered_set>
#include <vector>

#include "contract/chip.h"
#include "formats/model_config.h"
#include "formats/tensor_file.h"
#include "models/loaded_parameters.h"
#include "models/names.h"
#include "models/stored_tensor.h"
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
    LoadedParameters* loaded = nullptr;  // told of everything taken; rows must be in the file's own order
  };

  WeightLoader(const formats::TensorFiles& files, const formats::ModelConfig& config, std::span<const NameRow> names,
               contract::Chip& chip, Options options);

  // Where a tensor sits: layer and expert are used as far as the name has places for them.
  struct Place {
    Role role;
    int64_t layer = 0;
    int64_t expert = 0;
  };
  // Which rule the product of a matrix follows.
  enum class Use {
    kProduct,  // that of its kind under the compute mode
    kRouter,   // the f32 rule in every mode
    kLookup,   // rows are only looked up: kept as stored, except in mode bf16
  };

  bool has(Place place) const;

  // A matrix [outputs, inputs]. `row_order`, if given, maps our row to the file's row.
  using RowOrder = std::function<int64_t(int64_t)>;
  Result<std::unique_ptr<contract::PackedMatrix>> matrix(Place place, int64_t outputs, int64_t inputs,
                                                         Use use = Use::kProduct, const RowOrder& row_order = {});
  // Rows [row_begin, row_begin + outputs) of each of `groups` equal parts of one tensor [groups * part_rows, inputs]
  // (or [groups, part_rows, inputs]).
  struct Parts {
    int64_t groups = 1;
    int64_t part_rows = 0;
    int64_t row_begin = 0;
    int64_t outputs = 0;
    int64_t inputs = 0;
  };
  Result<std::unique_ptr<contract::PackedMatrix>> grouped_matrix(Place place, const Parts& parts);
  // The same rows transposed: groups x [inputs, outputs]. By the rule of transposed use.
  Result<std::unique_ptr<contract::PackedMatrix>> transposed_matrix(Place place, const Parts& parts);
  // `experts` tensors [outputs, inputs], one each.
  Result<std::unique_ptr<contract::PackedMatrix>> expert_matrices(Role role, int64_t layer, int64_t experts,
                                                                  int64_t outputs, int64_t inputs);

  // f32 [1, n] on the chip; rounded to bf16 in mode bf16 unless `is_exact` (the routing bias).
  Result<nn::Vector> vector(Place place, int64_t n, bool is_exact = false, const RowOrder& order = {});
  Result<nn::Vector> constant(const std::vector<float>& values);
  // The values themselves, for host use.
  Result<std::vector<float>> host_vector(Place place, int64_t n);

  int64_t chip_bytes() const { return chip_bytes_; }  // of everything taken so far
  int64_t file_bytes() const { return file_bytes_; }  // of the tensors taken, each once
  int64_t n_parameters() const { return n_parameters_; }
  // Names of tensors taken, for finding those that nobody asked for.
  const std::vector<std::string>& taken() const { return taken_; }

 private:
  Result<StoredTensor> find(Place place, const std::vector<int64_t>& shape_a, const std::vector<int64_t>& shape_b);
  contract::Rule rule_for(DType stored, Use use) const;
  bool has_values() const { return !is_planning_ && options_.loaded == nullptr; }
  Result<std::unique_ptr<contract::PackedMatrix>> pack(
      const std::vector<StoredTensor>& tensors, contract::Rule rule, int64_t groups, int64_t outputs, int64_t inputs,
      const std::function<std::pair<size_t, int64_t>(int64_t group, int64_t output)>& row_at);
  Status finish(const std::vector<StoredTensor>& tensors);
  // Tells options_.loaded: group g is `outputs` rows of tensors[g] (or of the only tensor, `part_rows` apart).
  void tell(contract::PackedMatrix& matrix, const std::vector<StoredTensor>& tensors, const Parts& parts,
            bool is_transposed, Use use);

  const formats::TensorFiles& files_;
  const formats::ModelConfig& config_;
  std::span<const NameRow> names_;
  contract::Chip& chip_;
  bool is_planning_;
  Options options_;
  int64_t chip_bytes_ = 0;
  int64_t file_bytes_ = 0;
  int64_t n_parameters_ = 0;
  std::vector<std::string> taken_;
  std::unordered_set<std::string> counted_;
};

}  // namespace naru::models
