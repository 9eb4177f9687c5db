// Model: a checkpoint on a chip, ready to run. Opening has two steps: plan_model() reads headers and configs, checks
// every tensor's shape and adds up the memory, touching no weights; load_model() then packs the weights.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "formats/model_config.h"
#include "formats/tensor_file.h"
#include "models/adapters.h"
#include "models/decoder.h"
#include "models/weight_loader.h"

namespace naru::models {

struct LoadOptions {
  contract::ComputeMode compute = contract::ComputeMode::kAuto;
  std::optional<DType> cache_dtype;    // kF32 or kBF16; default: follows the compute mode (ARITHMETIC section 2)
  std::optional<bool> is_latent_form;  // of latent attention; default: the checkpoint's own key, else latent
};

// What a model is and costs, known before its weights are read.
struct ModelPlan {
  formats::ModelConfig config;
  contract::ComputeMode compute = contract::ComputeMode::kAuto;
  DType cache_dtype = DType::kF32;
  bool is_latent_form = true;                                 // meaningful for latent attention only
  int64_t n_parameters = 0;                                   // that are used
  int64_t n_active_parameters = 0;                            // of those, met by one token
  int64_t file_bytes = 0;                                     // tensors that are used
  int64_t weight_bytes = 0;                                   // on the chip, with an adapter's
  int64_t cache_bytes_per_page = 0;                           // all layers, contract::kCachePage positions
  std::vector<std::pair<std::string, int64_t>> stored_kinds;  // kind of the file's tensors and their bytes
  std::vector<std::string> unused_tensors;
  std::string numerics_id;  // arithmetic version, compute mode, cache dtype, attention form, product rules
  std::shared_ptr<contract::Chip> planner;  // of the chip, which must outlive it
  std::shared_ptr<const Decoder> shape;     // the decoder without weights, made on the planner

  bool stores_only_f32() const;  // every tensor that is used
  // Bytes of the cache of `n_positions` positions of one sequence.
  int64_t cache_bytes(int64_t n_positions) const;
  // Workspace of a batch of n_rows rows.
  Result<int64_t> workspace_bytes(int64_t n_rows, int64_t n_logit_rows) const {
    return models::workspace_bytes(*shape, *planner, n_rows, n_logit_rows, cache_dtype);
  }
};

// The files of a model folder or a .gguf file, with its config; and of an adapter that is to stand beside the weights.
struct ModelFiles {
  std::filesystem::path path;
  formats::TensorFiles tensors;
  formats::ModelConfig config;
  std::vector<std::string> notes = {};  // for the user: where the files were not what they say
  std::optional<AdapterFiles> adapter = std::nullopt;
};
Result<ModelFiles> open_model_files(const std::filesystem::path& path);

// What the model costs on `chip`, of which nothing is taken.
Result<ModelPlan> plan_model(const ModelFiles& files, const contract::Chip& chip, const LoadOptions& options);

// A decoder that somebody else holds on a chip, as a trainer does: with its adapters, and the chip's own form of its
// weights, which may change in place.
struct HeldModel {
  const Decoder& decoder;
  formats::ModelConfig config;
  contract::ComputeMode compute = contract::ComputeMode::kF32;  // by which it was made
  DType cache_dtype = DType::kF32;
  bool is_latent_form = true;
  std::shared_ptr<contract::Chip> planner;  // of the chip
  std::shared_ptr<const Decoder> shape;     // the same decoder, adapters too, made on the planner
};
// Nothing of its weights is planned for: they are there.
ModelPlan plan_held_model(const HeldModel& model);

// Packs the weights; the plan must come from the same files, chip and options.
Result<Decoder> load_model(const ModelFiles& files, const ModelPlan& plan, contract::Chip& chip,
                           const LoadProgress& progress);

}  // namespace naru::models
