// StoredTensor: one tensor of a checkpoint, found by name, its shape and kind checked, with its block scales where it
// is FP8. StoredRows (stored_rows.h) says which of its rows are a parameter's.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "formats/model_config.h"
#include "formats/tensor_file.h"
#include "models/tensor_table.h"

namespace naru::models {

struct StoredTensor {
  const formats::TensorEntry* entry = nullptr;
  const std::byte* data = nullptr;
  DType dtype = DType::kF32;
  int64_t cols = 0;
  int64_t row_bytes = 0;
  std::string scale_name;     // of its companion tensor; empty: none
  std::vector<float> scales;  // [ceil(rows / block_rows), ceil(cols / block_cols)]; empty: none
  int64_t block_rows = 0;
  int64_t block_cols = 0;

  const std::byte* row(int64_t index) const { return data + index * row_bytes; }
  // A row as f32: the exact value of each element, rounded once.
  void widen(int64_t index, float* out) const;
};

// The tensor `name` ("" where the family has none in this container), which must have one of the two shapes.
Result<StoredTensor> find_stored_tensor(const formats::TensorFiles& files, const formats::ModelConfig& config,
                                        const std::string& name, const std::vector<int64_t>& shape_a,
                                        const std::vector<int64_t>& shape_b);
// The tensor of a role that belongs to no layer, in its shape.
Result<StoredTensor> find_stored_tensor(const formats::TensorFiles& files, const formats::ModelConfig& config,
                                        Role role);

}  // namespace naru::models
