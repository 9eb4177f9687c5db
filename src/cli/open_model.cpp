#include "cli/open_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <filesystem>

#include "base/builtin_file.h"
#include "base/file.h"
#include "base/shown_text.h"
#include "cli/interrupts.h"
#include "cli/progress.h"
#include "cli/table.h"
#include "formats/gguf.h"

namespace naru::cli {
namespace fs = std::filesystem;

Result<std::unique_ptr<contract::Chip>> make_chip(const ModelOptions& options) {
  return chips::make_chip(options.chip, {.n_threads = static_cast<int>(options.threads)});
}

models::LoadOptions load_options(const ModelOptions& options) {
  return {.compute = options.compute, .cache_dtype = options.cache_dtype, .is_latent_form = options.is_latent};
}

Result<OpenModel> open_model(const ModelOptions& options, const OpenNeeds& needs) {
  NARU_ASSIGN(models::ModelFiles files, open_files(options));
  return open_model(std::move(files), options, needs);
}

Result<models::ModelFiles> open_files(const ModelOptions& options) {
  NARU_ASSIGN(models::ModelFiles files, models::open_model_files(options.path));
  if (options.adapter) {
    NARU_ASSIGN(files.adapter, models::open_adapter(*options.adapter));
  }
  return files;
}

Result<OpenModel> open_model(models::ModelFiles files, const ModelOptions& options, const OpenNeeds& needs) {
  const auto begin = std::chrono::steady_clock::now();
  OpenModel model;
  for (const std::string& note : files.notes) print_note(note);
  NARU_ASSIGN(model.chip, make_chip(options));
  Progress progress(fmt::format("loading {}", short_name(options.path)), Progress::Unit::kBytes);
  engine::EngineOptions engine_options;
  engine_options.load = load_options(options);
  engine_options.memory.context_tokens = needs.context_tokens;
  engine_options.memory.sessions_max = needs.sessions_max;
  engine_options.memory.cache_tokens = needs.cache_tokens;
  engine_options.memory.prefill_chunk = options.prefill_chunk;
  engine_options.share_prefixes = needs.share_prefixes;
  engine_options.chat_template = needs.chat_template;
  engine_options.progress = [&progress, &needs](int64_t done, int64_t total) {
    progress.update(done, total);
    return !is_interrupted() && (!needs.progress || needs.progress(done, total));
  };
  NARU_ASSIGN(model.engine, engine::Engine::open(std::move(files), engine_options, *model.chip));
  progress.clear();
  if (options.is_latent && !model.engine->model().config.is_mla()) {
    print_note("--latent changes nothing: the model has no latent attention");
  }
  if (!model.engine->memory().note.empty()) print_note(model.engine->memory().note);
  model.load_ms = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count();
  return model;
}

Result<formats::TokenizerData> read_tokenizer_data(const std::string& path) {
  std::error_code ignored;
  fs::path place = path;
  const bool is_builtin = is_builtin_path(place);
  if (!is_builtin && !fs::exists(place, ignored)) {
    return Error{Code::kNotFound,
                 fmt::format("opening the tokenizer: {}: there is no such file or folder; check the path", path)};
  }
  if (is_builtin || (!fs::is_directory(place, ignored) && place.extension() == ".gguf")) {
    NARU_ASSIGN(const MappedFile file, MappedFile::open(place));
    NARU_ASSIGN(const formats::GgufIndex index, formats::parse_gguf(file.bytes(), place.filename().string()));
    return formats::tokenizer_from_gguf(index);
  }
  if (!fs::is_directory(place, ignored)) place = place.has_parent_path() ? place.parent_path() : fs::path(".");
  if (formats::has_tokenizer(place)) return formats::read_tokenizer_folder(place);
  // A folder whose only model is one .gguf file is opened as that file.
  auto tensors = formats::TensorFiles::open(place);
  if (tensors.ok() && tensors->gguf() != nullptr) return formats::tokenizer_from_gguf(*tensors->gguf());
  return formats::read_tokenizer_folder(place);
}

std::string kernel_table(const contract::Chip& chip, Stream stream) {
  std::vector<contract::KernelUse> uses = chip.kernel_uses();
  std::stable_sort(uses.begin(), uses.end(), [](const auto& a, const auto& b) { return a.calls > b.calls; });
  Table table({{"op"}, {"kernel"}, {"calls", true}});
  for (const contract::KernelUse& use : uses)
    table.row({std::string(use.op), std::string(use.kernel), grouped(use.calls)});
  return table.text(stream);
}

std::string short_name(const std::string& path) {
  fs::path place(path);
  if (place.filename().empty() || place.filename() == ".") place = fs::absolute(place).lexically_normal().parent_path();
  return place.filename().string();
}

}  // namespace naru::cli
