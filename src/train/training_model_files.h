// What a recipe names as its model: config, tokenizer, chat template, and where first values come from.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>

#include "formats/model_config.h"
#include "formats/tokenizer_files.h"
#include "models/model.h"
#include "models/parameters.h"
#include "recipes/recipe.h"
#include "text/chat_tokenizer.h"
#include "train/trainable_model.h"

namespace naru::train {

struct TrainingModelFiles {
  formats::ModelConfig config;  // plain (models::plain_config), with the prediction layers that are trained
  bool is_latent_form = false;
  int64_t n_predictions_left_out = 0;            // prediction layers of the model that the recipe does not train
  std::optional<models::ModelFiles> checkpoint;  // where the values come from; absent: drawn
  std::vector<models::Parameter> parameters;
  std::filesystem::path tokenizer_path;
  std::unique_ptr<text::Tokenizer> tokenizer;
  std::optional<text::ChatTemplate> chat_template;
  std::optional<std::string> own_template;  // the text of model.chat_template, for the export

  // The first value of parameter `index`.
  Status read(int64_t index, const recipes::Recipe& recipe, float* out) const;
};

// The text of model.chat_template; nothing where the recipe names none.
Result<std::optional<std::string>> read_own_template(const recipes::Recipe& recipe,
                                                     const std::filesystem::path& recipe_folder);

// Of a model of so many ids: a folder with tokenizer.json, a .gguf file, or a folder with one.
Result<text::Tokenizer> open_tokenizer(const std::filesystem::path& path, int64_t vocab);

Result<TrainingModelFiles> open_training_model(const recipes::Recipe& recipe,
                                               const std::filesystem::path& recipe_folder);

}  // namespace naru::train
