#include "models/stored_tensor.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cstring>

#include "base/checked.h"
#include "formats/ggml_blocks.h"
#include "formats/gguf.h"

namespace naru::models {
namespace {

constexpr std::string_view kOtherDType = "convert it to F32, F16, BF16, or F8_E4M3 with block scales";

bool is_number(DType dtype) {
  return dtype != DType::kI32 && dtype != DType::kI64 && dtype != DType::kU8 && dtype != DType::kBool &&
         dtype != DType::kI8;
}

// The f32 scales of an FP8 tensor.
Status find_scales(const formats::TensorFiles& files, const formats::ModelConfig& config, StoredTensor& stored) {
  const std::string& name = stored.entry->name;
  stored.block_rows = config.fp8_block_rows;
  stored.block_cols = config.fp8_block_cols;
  stored.scale_name = name;
  if (name.ends_with(".weight")) stored.scale_name.resize(name.size() - 7);
  stored.scale_name += ".weight_scale_inv";
  const formats::TensorEntry* scales = files.find(stored.scale_name);
  const int64_t rows = stored.cols == 0 ? 0 : stored.entry->n_elements() / stored.cols;
  if (stored.block_rows <= 0 || stored.block_cols <= 0 || scales == nullptr || scales->dtype != DType::kF32 ||
      scales->n_elements() != ceil_div(rows, stored.block_rows) * ceil_div(stored.cols, stored.block_cols)) {
    return Error{Code::kCorrupt,
                 fmt::format("loading {}: tensor '{}' is FP8 and needs f32 scales '{}' of one per {} x {} block; {}; "
                             "fetch the checkpoint again",
                             files.folder().string(), name, stored.scale_name, stored.block_rows, stored.block_cols,
                             scales == nullptr ? "there are none" : "found " + scales->shape_text())};
  }
  stored.scales.resize(static_cast<size_t>(scales->n_elements()));
  std::memcpy(stored.scales.data(), files.bytes(*scales).data(), static_cast<size_t>(scales->bytes));
  return {};
}

}  // namespace

void StoredTensor::widen(int64_t index, float* out) const {
  if (dtype != DType::kF8E4M3) return formats::dequantise_row(dtype, row(index), cols, out);
  const int64_t scale_cols = ceil_div(cols, block_cols);
  formats::dequantise_fp8_row(row(index), cols, scales.data() + index / block_rows * scale_cols, block_cols, out);
}

Result<StoredTensor> find_stored_tensor(const formats::TensorFiles& files, const formats::ModelConfig& config,
                                        const std::string& name, const std::vector<int64_t>& shape_a,
                                        const std::vector<int64_t>& shape_b) {
  const formats::TensorEntry* entry = name.empty() ? nullptr : files.find(name);
  if (entry == nullptr) {
    return Error{Code::kNotFound, fmt::format("loading {}: it has no tensor '{}', which a {} model needs; is a shard "
                                              "missing, or is the file of another model?",
                                              files.folder().string(), name, family_name(config.family))};
  }
  if (entry->shape != shape_a && entry->shape != shape_b) {
    return Error{Code::kCorrupt,
                 fmt::format("loading {}: tensor '{}' has the shape {}, the config says [{}]; config and "
                             "weights are of different models",
                             files.folder().string(), name, entry->shape_text(), fmt::join(shape_a, ", "))};
  }
  StoredTensor stored;
  stored.entry = entry;
  stored.dtype = entry->dtype;
  stored.cols = entry->shape.back();
  if (!entry->unread.empty()) {
    return Error{Code::kUnsupported, fmt::format("loading {}: tensor '{}' is stored as {}, which is not done here; {}",
                                                 files.folder().string(), name, entry->unread,
                                                 files.gguf() != nullptr ? formats::kOtherQuantisation : kOtherDType)};
  }
  const auto row_bytes = dtype_bytes(entry->dtype, stored.cols);
  if (!row_bytes || !is_number(entry->dtype)) {
    return Error{Code::kUnsupported,
                 fmt::format("loading {}: tensor '{}' is stored as {} in rows of {}; weights must be "
                             "f32, f16, bf16, f8_e4m3 or a GGUF kind whose block divides the row; "
                             "convert the file",
                             files.folder().string(), name, dtype_name(entry->dtype), stored.cols)};
  }
  stored.row_bytes = *row_bytes;
  stored.data = files.bytes(*entry).data();
  if (entry->dtype == DType::kF8E4M3) NARU_TRY(find_scales(files, config, stored));
  return stored;
}

Result<StoredTensor> find_stored_tensor(const formats::TensorFiles& files, const formats::ModelConfig& config,
                                        Role role) {
  const std::vector<int64_t> shape = row_of(config.family, role).shape(config);
  return find_stored_tensor(files, config, tensor_name(config.family, role, config.from_gguf), shape, shape);
}

}  // namespace naru::models
