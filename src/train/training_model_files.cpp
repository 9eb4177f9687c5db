#include "train/training_model_files.h"

#include <fmt/format.h>

#include "base/file.h"

namespace naru::train {
namespace {

namespace fs = std::filesystem;

fs::path resolved(const std::string& path, const fs::path& folder) {
  fs::path result = path;
  if (path.starts_with("~/")) {
    const char* home = std::getenv("HOME");
    if (home != nullptr) result = fs::path(home) / path.substr(2);
  }
  return result.is_absolute() ? result : folder / result;
}

Result<formats::TokenizerData> read_tokenizer(const fs::path& path) {
  std::error_code ignored;
  if (fs::is_directory(path, ignored)) return formats::read_tokenizer_folder(path);
  NARU_ASSIGN(const formats::TensorFiles files, formats::TensorFiles::open(path));
  if (files.gguf() == nullptr) {
    return Error{Code::kNotFound,
                 fmt::format("opening the tokenizer: {}: it is neither a folder with tokenizer.json nor "
                             "a .gguf file; give model.tokenizer one of them",
                             path.string())};
  }
  return formats::tokenizer_from_gguf(*files.gguf());
}

}  // namespace

Status TrainingModelFiles::read(int64_t index, const Recipe& recipe, float* out) const {
  const models::Parameter& parameter = parameters[static_cast<size_t>(index)];
  if (checkpoint) return models::read_parameter(checkpoint->tensors, checkpoint->config, parameter, out);
  models::draw_parameter(config, parameter, index, recipe.seed, recipe.model.init_std, out);
  return {};
}

Result<TrainingModelFiles> open_training_model(const Recipe& recipe, const fs::path& recipe_folder) {
  TrainingModelFiles files;
  if (!recipe.model.path.empty()) {
    NARU_ASSIGN(files.checkpoint, models::open_model_files(resolved(recipe.model.path, recipe_folder)));
    NARU_ASSIGN(files.config, models::plain_config(files.checkpoint->tensors, files.checkpoint->config));
    files.tokenizer_path = resolved(recipe.model.path, recipe_folder);
  } else {
    const fs::path path = resolved(recipe.model.config, recipe_folder);
    NARU_ASSIGN(const std::string text, read_file(path, formats::kConfigBytesMax));
    NARU_ASSIGN(files.config, formats::parse_model_config(std::as_bytes(std::span(text)), path.filename().string()));
    files.config.mtp_layers = 0;
    files.config.fp8_block_rows = files.config.fp8_block_cols = 0;
  }
  if (!recipe.model.tokenizer.empty()) files.tokenizer_path = resolved(recipe.model.tokenizer, recipe_folder);
  if (files.tokenizer_path.empty()) {
    return Error{Code::kInvalidArgument,
                 "opening the tokenizer: model.tokenizer is not given, and a new model has none; train one with `naru "
                 "data --train-tokenizer` or name a folder that has a tokenizer.json"};
  }
  // The form: the recipe's word, else the checkpoint's own, else expanded.
  files.is_latent_form = recipe.model.form.empty() ? files.config.attention_form == formats::AttentionForm::kLatent
                                                   : recipe.model.form == "latent";
  NARU_ASSIGN(formats::TokenizerData data, read_tokenizer(files.tokenizer_path));
  if (data.chat_template) {
    NARU_ASSIGN(files.chat_template, text::ChatTemplate::create(data));
  }
  NARU_ASSIGN(text::Tokenizer tokenizer, text::Tokenizer::create(std::move(data)));
  if (tokenizer.n_ids() > files.config.vocab) {
    return Error{
        Code::kInvalidArgument,
        fmt::format("opening the tokenizer: {}: it has ids up to {}, but the model's vocabulary ends at {}; they "
                    "do not belong together: choose another tokenizer or correct vocab_size",
                    files.tokenizer_path.string(), tokenizer.n_ids() - 1, files.config.vocab)};
  }
  files.tokenizer = std::make_unique<text::Tokenizer>(std::move(tokenizer));
  files.parameters = models::list_parameters(files.config);
  return files;
}

}  // namespace naru::train
