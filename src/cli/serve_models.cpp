#include "cli/serve_models.h"

#include <fmt/format.h>

#include <filesystem>
#include <set>

#include "base/builtin_file.h"
#include "base/shown_text.h"
#include "cli/builtin_words.h"
#include "cli/find_model.h"
#include "cli/open_model.h"
#include "engine/memory_plan.h"
#include "runs/run_files.h"
#include "server/limits.h"

namespace naru::cli {

std::string name_of_given(const std::string& given) {
  std::error_code ignored;
  // The name of a pulled model says more than the folder that it lies in.
  if (!std::filesystem::exists(given, ignored)) return given;
  // So does the name of a run than "model", which is what each calls its own.
  const std::filesystem::path place = std::filesystem::absolute(given, ignored).lexically_normal();
  const std::filesystem::path folder = place.has_filename() ? place : place.parent_path();
  const bool is_of_run = folder.filename() == runs::kModelFolder &&
                         std::filesystem::exists(folder.parent_path() / runs::kRunFile, ignored);
  const std::string name = short_name(is_of_run ? folder.parent_path().string() : given);
  return name.ends_with(".gguf") && name.size() > 5 ? name.substr(0, name.size() - 5) : name;
}

std::function<Status(const Given&)> add_named_model(std::vector<NamedModel>* models) {
  return [models](const Given& given) -> Status {
    NamedModel model;
    Given rest = given;
    std::error_code ignored;
    const size_t equals = given.text.find('=');
    if (equals != std::string::npos && !std::filesystem::exists(given.text, ignored)) {
      model.name = given.text.substr(0, equals);
      rest.text = given.text.substr(equals + 1);
      model.has_own_name = true;
      if (model.name.empty() || rest.text.empty()) return bad_value(given, "a model, or a name, = and a model");
    } else {
      model.name = name_of_given(given.text);
    }
    NARU_TRY(set_model_path(&model.path)(rest));
    if (!model.has_own_name && builtin::is_builtin_model(model.path)) model.name = builtin::builtin_model()->name;
    const bool is_word = rest.text.find_first_of("/.") == std::string::npos;
    if (is_word && !is_builtin_path(model.path) && !std::filesystem::exists(model.path, ignored)) {
      return Error{
          Code::kNotFound,
          fmt::format("opening the model: '{}': there is no such file or folder, and no model of that name was "
                      "pulled; check the path; `naru list` shows what was pulled, and `naru pull OWNER/NAME` "
                      "gets a model",
                      without_controls_on_one_line(rest.text))};
    }
    models->push_back(std::move(model));
    if (static_cast<int64_t>(models->size()) <= server::kModelsServedMax) return {};
    return bad_value(given, fmt::format("no more than {} models", server::kModelsServedMax));
  };
}

Result<std::vector<PlannedModel>> plan_models(const std::vector<NamedModel>& models, const ModelOptions& options,
                                              int64_t parallel, int64_t cache_tokens) {
  std::set<std::string> names;
  std::vector<PlannedModel> planned;
  for (const NamedModel& model : models) {
    if (!names.insert(model.name).second) {
      return Error{Code::kInvalidArgument,
                   fmt::format("starting the server: two models would be called {}; give one as NAME={}",
                               without_controls_on_one_line(model.name), without_controls_on_one_line(model.path))};
    }
    ModelOptions own = options;
    own.path = model.path;
    NARU_ASSIGN(const models::ModelFiles files, open_files(own));
    NARU_ASSIGN(const std::unique_ptr<contract::Chip> chip, make_chip(own));
    NARU_ASSIGN(const models::ModelPlan plan, models::plan_model(files, *chip, load_options(own)));
    engine::MemoryOptions memory;
    memory.context_tokens = own.context;
    memory.sessions_max = parallel;
    memory.cache_tokens = cache_tokens;
    memory.prefill_chunk = own.prefill_chunk;
    NARU_ASSIGN(const engine::MemoryPlan needs, engine::plan_memory(plan, memory));
    planned.push_back({needs.context_tokens, needs.needed_bytes(), needs.available_bytes});
  }
  return planned;
}

}  // namespace naru::cli
