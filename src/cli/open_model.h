// Opening a model as the flags say: the chip, the plan, the weights with progress; and what many commands say at the
// end: which kernels ran.
#pragma once

#include <memory>
#include <string>

#include "cli/options.h"
#include "cli/terminal.h"
#include "contract/chip.h"
#include "engine/engine.h"
#include "text/tokenizer.h"

namespace naru::cli {

Result<std::unique_ptr<contract::Chip>> make_chip(const ModelOptions& options);
models::LoadOptions load_options(const ModelOptions& options);

// A model on its chip.
struct OpenModel {
  std::unique_ptr<contract::Chip> chip;
  std::unique_ptr<engine::Engine> engine;  // freed before the chip
  double load_ms = 0;
};

struct OpenNeeds {
  int64_t context_tokens = 0;  // 0: the default of the engine
  int64_t sessions_max = 1;
  bool share_prefixes = true;
  std::optional<std::string> chat_template = std::nullopt;  // its text, in the place of the model's own
  models::LoadProgress progress = {};                       // told besides the one on the terminal
  int64_t cache_tokens = 0;                                 // in the place of sessions_max full contexts
};

// The files of the model and of its adapter.
Result<models::ModelFiles> open_files(const ModelOptions& options);

// Notes of the plan (a context lowered to fit) go to standard error.
Result<OpenModel> open_model(const ModelOptions& options, const OpenNeeds& needs);
Result<OpenModel> open_model(models::ModelFiles files, const ModelOptions& options, const OpenNeeds& needs);

// The tokenizer's files alone: of a folder, a .gguf file, or a folder that holds one.
Result<formats::TokenizerData> read_tokenizer_data(const std::string& path);

// A table of the kernels that ran, most calls first.
std::string kernel_table(const contract::Chip& chip, Stream stream = Stream::kErr);

// How messages call a model: the last part of its path.
std::string short_name(const std::string& path);

}  // namespace naru::cli
