// StoredTensor: one tensor of a checkpoint, found by name, its shape and kind checked, with its block scales where it
// is FP8. Whoever takes weights out of a file (the weight loader, the trainer's parameters) reads its rows through
// this.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "formats/model_config.h"
#include "formats/tensor_file.h"

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

// GGUF files of the llama architecture hold the rows of q and k in interleaved order: file row 2i + j of a head is
// channel j * head_dim / 2 + i. The file's row that holds row `row` of the model:
inline int64_t interleaved_row(int64_t row, int64_t head_dim) {
  const int64_t half = head_dim / 2, channel = row % head_dim;
  return row - channel + 2 * (channel % half) + channel / half;
}

}  // namespace naru::models
