#include "samples/sampled_model.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/file.h"
#include "engine/model_tokenizer.h"
#include "eval/problem_set.h"
#include "models/parameters.h"

namespace naru::samples {
namespace {

namespace fs = std::filesystem;

models::LoadOptions load_options_of(const recipes::Recipe& recipe) {
  models::LoadOptions options{.compute = recipe.compute, .cache_dtype = {}, .is_latent_form = {}};
  if (!recipe.model.form.empty()) options.is_latent_form = recipe.model.form == "latent";
  return options;
}

// By the recipe's words, and what the model has.
Status choose_form(const recipes::Recipe& recipe, SampledModel& model) {
  const std::string& ask = recipe.rejection.ask;
  if (ask != "text") {
    NARU_ASSIGN(
        const text::ChatTemplate* const found,
        eval::template_of(*model.text, recipe.model.path,
                          "name one in model.chat_template, or set rejection.ask = \"text\", which asks in plain "
                          "text"));
    model.is_chat = found != nullptr;
  }
  model.is_messages = recipe.rejection.form.empty() ? model.is_chat : recipe.rejection.form == "messages";
  if (ask != "chat" || model.is_chat) return {};
  return Error{Code::kUnsupported,
               fmt::format("asking problems: {} has no chat template, and rejection.ask is \"chat\"; name one in "
                           "model.chat_template, or set rejection.ask = \"text\", which asks in plain text",
                           recipe.model.path)};
}

// A stage whose model is not there yet: its config and tokenizer are.
Result<formats::TokenizerData> read_planned(const recipes::Recipe& recipe, const fs::path& recipe_folder,
                                            SampledModel& model, int64_t& vocab) {
  const fs::path path = recipes::resolved_path(recipe.model.config, recipe_folder);
  NARU_ASSIGN(const std::string text, read_file(path, formats::kConfigBytesMax));
  NARU_ASSIGN(const formats::ModelConfig config, formats::parse_model_config(as_bytes(text), path.filename().string()));
  model.context_max = config.max_positions;
  vocab = config.vocab;
  formats::ModelConfig plain = config;
  plain.mtp_layers = 0;  // what answers does not read them
  model.n_planned_parameters = models::all_parameters(models::list_parameters(plain));
  return formats::read_tokenizer_folder(recipes::tokenizer_place(recipe.model, recipe_folder));
}

}  // namespace

Result<SampledModel> open_model(const recipes::Recipe& recipe, const fs::path& recipe_folder) {
  SampledModel model;
  int64_t vocab = 0;
  formats::TokenizerData data;
  if (recipe.model.path.empty()) {
    NARU_ASSIGN(data, read_planned(recipe, recipe_folder, model, vocab));
  } else {
    NARU_ASSIGN(model.files, models::open_model_files(recipes::model_place(recipe.model, recipe_folder)));
    model.context_max = model.files->config.max_positions;
    vocab = model.files->config.vocab;
    auto read = engine::read_tokenizer(*model.files);
    if (!read.ok()) {
      return Error{read.error().code,
                   fmt::format("asking {}: no problem without a tokenizer: {}; put the tokenizer's files beside the "
                               "weights",
                               recipe.model.path, read.error().message)};
    }
    data = std::move(read).value();
  }
  NARU_TRY(formats::leave_out_foreign_tokens(data, vocab));
  if (!recipe.model.chat_template.empty()) {
    NARU_ASSIGN(model.own_template,
                text::read_chat_template(recipes::resolved_path(recipe.model.chat_template, recipe_folder)));
    text::replace_chat_template(data, *model.own_template);
  }
  NARU_ASSIGN(text::ChatTokenizer made, text::ChatTokenizer::create(std::move(data)));
  model.text = std::make_unique<text::ChatTokenizer>(std::move(made));
  NARU_TRY(choose_form(recipe, model));
  return model;
}

Result<AnswerRoom> plan_room(const SampledModel& model, const recipes::Recipe& recipe, const AskedPrompts& prompts,
                             const contract::Chip& chip) {
  AnswerRoom room;
  room.context_tokens = prompts.longest + recipe.rejection.max_tokens;
  if (model.context_max > 0) room.context_tokens = std::min(room.context_tokens, model.context_max);
  NARU_ASSIGN(room.model, models::plan_model(*model.files, chip, load_options_of(recipe)));
  const int64_t n_answers = std::ssize(prompts.ids) * recipe.rejection.answers;
  for (room.at_once = std::min(recipe.rejection.at_once, n_answers);; room.at_once /= 2) {
    engine::MemoryOptions options;
    options.context_tokens = room.context_tokens;
    options.sessions_max = room.at_once;
    auto memory = engine::plan_memory(room.model, options);
    if (memory.ok()) {
      room.memory = std::move(memory).value();
      return room;
    }
    if (room.at_once == 1 || memory.error().code != Code::kResourceExhausted) return memory.error();
  }
}

Result<std::unique_ptr<engine::Engine>> open_engine(SampledModel& model, const recipes::Recipe& recipe,
                                                    const AnswerRoom& room, contract::Chip& chip,
                                                    const models::LoadProgress& progress) {
  engine::EngineOptions options;
  options.load = load_options_of(recipe);
  options.memory.context_tokens = room.context_tokens;
  options.memory.sessions_max = room.at_once;
  options.chat_template = model.own_template;
  options.progress = progress;
  return engine::Engine::open(*std::move(model.files), options, chip);
}

}  // namespace naru::samples
