#include "models/model.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/checked.h"
#include "models/families.h"
#include "models/parameters.h"
#include "models/tied_head.h"

namespace naru::models {
namespace {

using contract::ComputeMode;
using formats::AttentionForm;

// Of the tensors that are used: one that nobody reads changes no bit.
DType default_cache_dtype(const ModelPlan& plan) {
  if (plan.compute == ComputeMode::kF32) return DType::kF32;
  if (plan.compute == ComputeMode::kBF16) return DType::kBF16;
  return plan.stores_only_f32() ? DType::kF32 : DType::kBF16;
}

std::string make_numerics_id(const ModelPlan& plan) {
  std::string kinds;
  for (const contract::Rule rule : product_rules(*plan.shape))
    kinds += fmt::format("{}{}", kinds.empty() ? "" : "+", rule_name(rule));
  const std::string_view form = !plan.config.is_mla() ? "grouped" : plan.is_latent_form ? "latent" : "expanded";
  return fmt::format("{}/{}/cache-{}/{}/{}", contract::kArithmeticVersion, compute_mode_name(plan.compute),
                     dtype_name(plan.cache_dtype), form, kinds);
}

void list_tensors(const formats::TensorFiles& files, const std::vector<std::string>& taken, ModelPlan& plan) {
  const std::set<std::string> used(taken.begin(), taken.end());
  for (const formats::TensorEntry& entry : files.entries()) {
    if (used.count(entry.name) == 0) {
      plan.unused_tensors.push_back(entry.name);
      continue;
    }
    const std::string kind(dtype_name(entry.dtype));
    auto row = std::find_if(plan.stored_kinds.begin(), plan.stored_kinds.end(),
                            [&](const auto& pair) { return pair.first == kind; });
    if (row == plan.stored_kinds.end()) {
      plan.stored_kinds.emplace_back(kind, 0);
      row = plan.stored_kinds.end() - 1;
    }
    row->second += entry.bytes;
  }
}

// What follows from the shape and the cache's dtype.
void finish_plan(ModelPlan& plan) {
  for (const nn::LayerCacheShape& shape : plan.shape->layer_cache_shapes(plan.cache_dtype)) {
    plan.cache_bytes_per_page += nn::page_bytes(*plan.planner, shape);
  }
  plan.numerics_id = make_numerics_id(plan);
}

}  // namespace

bool ModelPlan::stores_only_f32() const {
  return stored_kinds.size() == 1 && stored_kinds[0].first == dtype_name(DType::kF32);
}

int64_t ModelPlan::cache_bytes(int64_t n_positions) const {
  return ceil_div(n_positions, contract::kCachePage) * cache_bytes_per_page;
}

Result<ModelFiles> open_model_files(const std::filesystem::path& path) {
  NARU_ASSIGN(auto tensors, formats::TensorFiles::open(path));
  formats::ModelConfig config;
  if (tensors.gguf() != nullptr) {
    NARU_ASSIGN(config, formats::model_config_from_gguf(*tensors.gguf()));
  } else {
    NARU_ASSIGN(config, formats::read_model_config(tensors.folder()));
  }
  NARU_ASSIGN(std::vector<std::string> notes, settle_tied_head(tensors, config));
  return ModelFiles{path, std::move(tensors), std::move(config), std::move(notes)};
}

Result<ModelPlan> plan_model(const ModelFiles& files, const contract::Chip& chip, const LoadOptions& options) {
  ModelPlan plan;
  plan.planner = chip.planner();
  plan.config = files.config;
  plan.compute = options.compute;
  plan.is_latent_form = options.is_latent_form.value_or(files.config.attention_form != AttentionForm::kExpanded);
  WeightLoader loader(files.tensors, plan.config, *plan.planner,
                      {.compute = plan.compute, .progress = {}, .progress_total = 0});
  NARU_ASSIGN(Decoder shape, build_decoder(plan.config, loader, {.is_latent_form = plan.is_latent_form}));
  plan.n_parameters = all_parameters(loader.parameters());
  plan.n_active_parameters = active_parameters(plan.config, loader.parameters());
  plan.file_bytes = loader.file_bytes();
  plan.weight_bytes = loader.chip_bytes();
  if (files.adapter) {
    NARU_ASSIGN(const int64_t bytes,
                attach_adapter(*files.adapter, plan.config.family, plan.compute, *plan.planner, shape));
    plan.weight_bytes += bytes;
  }
  plan.shape = std::make_shared<const Decoder>(std::move(shape));
  list_tensors(files.tensors, loader.taken(), plan);
  plan.cache_dtype = options.cache_dtype.value_or(default_cache_dtype(plan));
  finish_plan(plan);
  return plan;
}

ModelPlan plan_held_model(const HeldModel& model) {
  ModelPlan plan;
  plan.config = model.config;
  plan.compute = model.compute;
  plan.cache_dtype = model.cache_dtype;
  plan.is_latent_form = model.is_latent_form;
  const std::vector<Parameter> parameters = list_parameters(model.config);
  plan.n_parameters = all_parameters(parameters);
  plan.n_active_parameters = active_parameters(model.config, parameters);
  plan.planner = model.planner;
  plan.shape = model.shape;
  finish_plan(plan);
  return plan;
}

Result<Decoder> load_model(const ModelFiles& files, const ModelPlan& plan, contract::Chip& chip,
                           const LoadProgress& progress) {
  WeightLoader loader(files.tensors, plan.config, chip,
                      {.compute = plan.compute, .progress = progress, .progress_total = plan.file_bytes});
  NARU_ASSIGN(Decoder decoder, build_decoder(plan.config, loader, {.is_latent_form = plan.is_latent_form}));
  NARU_TRY(files.tensors.check_unchanged());  // else it may be of two models
  if (files.adapter) {
    NARU_TRY(attach_adapter(*files.adapter, plan.config.family, plan.compute, chip, decoder));
  }
  return decoder;
}

}  // namespace naru::models
