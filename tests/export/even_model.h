// A model to export whose weights are all alike: what goes with them is what a test looks at.
#pragma once

#include <algorithm>

#include "export/export.h"

namespace naru::exports {

// `source`: the folder or .gguf whose tokenizer goes with it.
inline ModelToExport even_model(const formats::ModelConfig& config, const std::filesystem::path& source) {
  ModelToExport model{.config = config,
                      .parameters = models::list_parameters(config),
                      .read = {},
                      .dtype = ExportDType::kF32,
                      .tokenizer_from = source,
                      .form = {}};
  model.read = [parameters = model.parameters](int64_t index, float* out) -> Status {
    std::fill_n(out, parameters[static_cast<size_t>(index)].n_elements(), 0.5f);
    return {};
  };
  return model;
}

}  // namespace naru::exports
