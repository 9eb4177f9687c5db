#include "train/training_model_files.h"

#include <fmt/format.h>

#include "base/file.h"

namespace naru::train {
namespace {

namespace fs = std::filesystem;

Result<formats::TokenizerData> read_tokenizer(const fs::path& path) {
  std::error_code ignored;
  if (fs::is_directory(path, ignored)) {
    if (formats::has_tokenizer(path)) return formats::read_tokenizer_folder(path);
    // A folder whose only model is one .gguf file has its tokenizer there.
    const auto tensors = formats::TensorFiles::open(path);
    if (tensors.ok() && tensors->gguf() != nullptr) return formats::tokenizer_from_gguf(*tensors->gguf());
    return formats::read_tokenizer_folder(path);
  }
  NARU_ASSIGN(const formats::TensorFiles files, formats::TensorFiles::open(path));
  if (files.gguf() == nullptr) {
    return Error{Code::kNotFound,
                 fmt::format("opening the tokenizer: {}: it is neither a folder with tokenizer.json nor "
                             "a .gguf file; give model.tokenizer one of them",
                             path.string())};
  }
  return formats::tokenizer_from_gguf(*files.gguf());
}

// That of the recipe; where it names one that is not there, what makes it.
Result<formats::TokenizerData> tokenizer_of(const recipes::Recipe& recipe, const fs::path& path) {
  auto data = read_tokenizer(path);
  if (data.ok() || data.error().code != Code::kNotFound || recipe.model.tokenizer.empty()) return data;
  return Error{Code::kNotFound,
               fmt::format("{}; `naru data RECIPE --train-tokenizer {}` makes one of the recipe's own data, and the "
                           "shipped recipes say how in their first lines",
                           data.error().message, path.string())};
}

// Prediction layers are there where their loss counts.
Status choose_predictions(const recipes::Recipe& recipe, int64_t n_of_model, TrainingModelFiles& files) {
  files.config.mtp_layers = recipe.loss.mtp > 0 ? n_of_model : 0;
  files.n_predictions_left_out = n_of_model - files.config.mtp_layers;
  if (recipe.loss.mtp == 0) return {};
  if (n_of_model == 0) {
    return Error{Code::kInvalidArgument,
                 fmt::format("opening the model: loss.mtp is {}, but the model has no prediction layer; set "
                             "num_nextn_predict_layers to 1 in the config.json of a new DeepSeek-V3 model, or loss.mtp "
                             "to 0",
                             recipe.loss.mtp)};
  }
  if (recipe.lora.rank == 0) return {};
  return Error{Code::kUnsupported,
               fmt::format("opening the model: loss.mtp is {} and lora.rank {}, but prediction layers learn with all "
                           "weights only; set one of the two to 0",
                           recipe.loss.mtp, recipe.lora.rank)};
}

}  // namespace

Status TrainingModelFiles::read(int64_t index, const recipes::Recipe& recipe, float* out) const {
  const models::Parameter& parameter = parameters[static_cast<size_t>(index)];
  if (checkpoint) return models::read_parameter(checkpoint->tensors, checkpoint->config, parameter, out);
  models::draw_parameter(config, parameter, index, recipe.seed, recipe.model.init_std, out);
  return {};
}

Result<std::optional<std::string>> read_own_template(const recipes::Recipe& recipe, const fs::path& recipe_folder) {
  if (recipe.model.chat_template.empty()) return std::optional<std::string>();
  NARU_ASSIGN(std::string source,
              text::read_chat_template(recipes::resolved_path(recipe.model.chat_template, recipe_folder)));
  return std::optional<std::string>(std::move(source));
}

Result<text::Tokenizer> open_tokenizer(const fs::path& path, int64_t vocab) {
  NARU_ASSIGN(formats::TokenizerData data, read_tokenizer(path));
  NARU_TRY(formats::leave_out_foreign_tokens(data, vocab));
  NARU_ASSIGN(text::ChatTokenizer made, text::ChatTokenizer::create(std::move(data)));
  return std::move(made.tokenizer);
}

Result<TrainingModelFiles> open_training_model(const recipes::Recipe& recipe, const fs::path& recipe_folder) {
  TrainingModelFiles files;
  int64_t n_predictions = 0;
  if (!recipe.model.path.empty()) {
    NARU_ASSIGN(files.checkpoint, models::open_model_files(recipes::model_place(recipe.model, recipe_folder)));
    NARU_ASSIGN(files.config, models::plain_config(files.checkpoint->tensors, files.checkpoint->config));
    n_predictions = files.checkpoint->config.mtp_layers;
  } else {
    const fs::path path = recipes::resolved_path(recipe.model.config, recipe_folder);
    NARU_ASSIGN(const std::string text, read_file(path, formats::kConfigBytesMax));
    NARU_ASSIGN(files.config, formats::parse_model_config(std::as_bytes(std::span(text)), path.filename().string()));
    n_predictions = files.config.mtp_layers;
    files.config.fp8_block_rows = files.config.fp8_block_cols = 0;
  }
  NARU_TRY(choose_predictions(recipe, n_predictions, files));
  files.tokenizer_path = recipes::tokenizer_place(recipe.model, recipe_folder);
  if (files.tokenizer_path.empty()) {
    return Error{Code::kInvalidArgument,
                 "opening the tokenizer: model.tokenizer is not given, and a new model has none; train one with `naru "
                 "data --train-tokenizer` or name a folder that has a tokenizer.json"};
  }
  // The form: the recipe's word, else the checkpoint's own, else expanded.
  files.is_latent_form = recipe.model.form.empty() ? files.config.attention_form == formats::AttentionForm::kLatent
                                                   : recipe.model.form == "latent";
  NARU_ASSIGN(formats::TokenizerData data, tokenizer_of(recipe, files.tokenizer_path));
  NARU_TRY(formats::leave_out_foreign_tokens(data, files.config.vocab));
  NARU_ASSIGN(files.own_template, read_own_template(recipe, recipe_folder));
  if (files.own_template) text::replace_chat_template(data, *files.own_template);
  NARU_ASSIGN(text::ChatTokenizer made, text::ChatTokenizer::create(std::move(data)));
  if (!made.template_status.ok() && made.template_status.error().code != Code::kNotFound) {
    return made.template_status.error();
  }
  files.chat_template = std::move(made.chat_template);
  text::Tokenizer tokenizer = std::move(made.tokenizer);
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
