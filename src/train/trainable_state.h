// What a TrainableModel holds; shared by its two sources (building and running).
#pragma once

#include "train/trainable_model.h"

namespace naru::train {

struct TrainableModel::State {
  contract::Chip* chip = nullptr;
  formats::ModelConfig config;
  Options options;
  DType cache_dtype = DType::kF32;

  std::vector<models::Parameter> parameters;
  std::vector<bool> is_trained;
  ParameterBuffer values;

  models::Decoder decoder;
  models::LoadedParameters loaded;
  // Of loaded.matrices, in order: the matrix for dx; null for those that are only looked up.
  std::vector<std::unique_ptr<contract::PackedMatrix>> transposed;
  // Low-rank parts: parameter a is adapters' A, a + 1 its B.
  struct LoadedAdapter {
    nn::Adapter* adapter = nullptr;
    int64_t parameter = 0;  // of the full matrix
    int64_t a = 0;          // of A; B follows
    std::unique_ptr<contract::PackedMatrix> a_transposed, b_transposed;
  };
  std::vector<LoadedAdapter> adapters;
  int64_t packed_bytes = 0;

  TrainingRoom room;
  std::unique_ptr<nn::Workspace> values_memory, shadow_memory;
  std::unique_ptr<contract::Buffer> cache_memory;
  std::vector<nn::LayerCache> cache;
  int64_t cache_bytes = 0;

  Status reserve_cache(int64_t n_pages);
  void check_room(const data::MicroBatch& batch) const;
  void bind(const ParameterBuffer& grads, nn::Bindings& bindings) const;
};

}  // namespace naru::train
