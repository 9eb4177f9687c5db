// naru serve --check-config: what would be served, found out without reading weights and without answering anybody.
#pragma once

#include <optional>
#include <string>

#include "cli/open_model.h"
#include "cli/options.h"
#include "engine/memory_plan.h"

namespace naru::cli {

struct ModelCheck {
  int64_t n_parameters = 0;
  engine::MemoryPlan memory;
  std::string chip;
  bool has_template = false;
  bool has_tools = false;        // which the template lists, and whose calls are read
  std::string template_problem;  // why there is none that can be used
};

// `cache_tokens`: 0: a whole context for each session. The error that opening the model for the server would end with:
// files, memory, tokenizer, template; but for weights that cannot be read.
Result<ModelCheck> check_served_model(const models::ModelFiles& files, const ModelOptions& options,
                                      int64_t sessions_max, int64_t cache_tokens,
                                      const std::optional<std::string>& chat_template);

bool can_use_tools(const text::ChatTemplate& chat_template);

// No answers without a tokenizer: why, where there is none.
Error no_tokenizer_error(const ModelOptions& options, const Error& why);

}  // namespace naru::cli
