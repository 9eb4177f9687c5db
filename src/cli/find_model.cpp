#include "cli/find_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "base/builtin_file.h"
#include "base/home.h"
#include "base/open_file.h"
#include "base/shown_text.h"
#include "cli/builtin_words.h"
#include "hub/models_folder.h"
#include "recipes/pipeline.h"
#include "runs/pipeline_record.h"
#include "runs/run_files.h"

namespace naru::cli {
namespace {

// The pulled name that was meant: one of the same repository, one whose repository alone was given, or the nearest.
std::optional<std::string> meant_name(const std::string& given, const hub::ModelList& list) {
  std::vector<std::string_view> names;
  for (const hub::PulledModel& model : list.models) {
    if (!model.is_whole) continue;
    const std::string& name = model.manifest.model;
    const std::string_view repository = std::string_view(name).substr(name.find('/') + 1);
    const bool is_same = name.starts_with(given + ":") || name.starts_with(given + "@") || repository == given;
    if (is_same) return name;
    names.push_back(name);
  }
  const auto near = nearest(given, names);
  return near ? std::optional<std::string>(*near) : std::nullopt;
}

// A name of a file, which no repository has.
bool is_file_name(const std::string& given) {
  return given.ends_with(".gguf") || given.ends_with(".safetensors");
}

// `place` is where the path leads, and `doing` what messages say is done.
Result<std::string> find_at(const std::string& given, const std::filesystem::path& place, std::string_view doing) {
  if (is_builtin_path(given)) return given;  // as everywhere: a file that is called so is ./builtin:/NAME
  const auto is_there = is_anything(place);
  if (!is_there.ok() || *is_there) return given;
  if (given == builtin::kModelName) return builtin_path(doing);  // a file or a folder that is called so wins
  const auto name = hub::parse_name(given);
  const bool is_word = given.find('/') == std::string::npos;
  const bool is_name = name.ok() && (name->file || !is_file_name(given));
  if (!is_name && !is_word) return given;
  NARU_ASSIGN(const std::filesystem::path models, hub::models_folder());
  if (is_name) {
    NARU_ASSIGN(const auto folder, hub::find_model(models, *name));
    if (folder) return folder->string();
  }
  const auto list = hub::list_models(models);
  const auto meant = list.ok() ? meant_name(given, *list) : std::nullopt;
  if (!is_name && !meant) return given;
  const std::string shown = without_controls_on_one_line(given);
  return Error{
      Code::kNotFound,
      fmt::format("{}: '{}': there is no such file or folder, and no model of that name was pulled; {}{}", doing, shown,
                  meant ? fmt::format("did you mean {}? ", without_controls_on_one_line(*meant)) : "",
                  is_name ? fmt::format("check the path, or get it: naru pull {}", shown)
                          : "`naru list` shows what was pulled")};
}

// What was given, or where that is the folder of a run the model in it; of a pipeline, its last stage's.
Result<std::string> model_of_run(const std::string& given) {
  namespace fs = std::filesystem;
  if (is_builtin_path(given)) return given;
  const fs::path folder = given;
  const auto has = [&folder](std::string_view name) {
    std::error_code ignored;
    return fs::exists(folder / name, ignored);
  };
  if (has("config.json")) return given;
  if (const auto last = has("run.json") ? std::nullopt : runs::pipeline_model(folder)) {
    std::error_code ignored;
    if (fs::exists(*last / "config.json", ignored)) return last->string();
    const std::string shown = without_controls_on_one_line(given);
    return Error{Code::kNotFound,
                 fmt::format("opening the model: {0}: it is the folder of a pipeline whose last stage has no model "
                             "yet, a finished one was wanted; `naru train` goes on with it, `naru runs {0}` shows its "
                             "stages",
                             shown)};
  }
  if (!has("run.json")) return given;
  if (has("model/config.json")) return (folder / "model").string();
  const std::string shown = without_controls_on_one_line(given);
  return Error{Code::kNotFound,
               fmt::format("opening the model: {0}: it is the folder of a run that has no model yet, a "
                           "finished run was wanted; `naru train` goes on with it, `naru runs {0}` "
                           "shows the command",
                           shown)};
}

// Where a run must have its folder so that the recipe's model is at `place`, which ends as OUTPUT/model does; nothing
// where it does not, or where it makes no model.
std::optional<std::filesystem::path> run_folder_of(const recipes::Recipe& recipe, const std::filesystem::path& place) {
  namespace fs = std::filesystem;
  const fs::path model = (fs::path(with_home(recipe.output)) / runs::kModelFolder).lexically_normal();
  if (!recipes::makes_model(recipe.kind)) return std::nullopt;
  if (model.is_absolute()) return model == place ? std::optional(place.parent_path()) : std::nullopt;
  auto end = place.end();
  for (auto part = model.end(); part != model.begin();) {
    if (end == place.begin() || *--part != *--end) return std::nullopt;
  }
  return place.parent_path();
}

// The command that makes the model at `place`, by the recipe or the pipeline in `file`; empty where none does.
std::string command_that_makes(const std::filesystem::path& file, const std::filesystem::path& place) {
  namespace fs = std::filesystem;
  std::error_code ignored;
  std::optional<fs::path> folder;
  std::string output;
  if (!recipes::is_pipeline(file)) {
    const auto recipe = recipes::read_recipe(file, {});
    if (recipe.ok()) folder = run_folder_of(*recipe, place), output = with_home(recipe->output);
  } else if (const auto pipeline = recipes::read_pipeline(file, {}); pipeline.ok()) {
    for (const recipes::Stage& stage : pipeline->stages) {
      const auto of_stage = run_folder_of(stage.recipe, place);
      if (of_stage) folder = of_stage->parent_path(), output = with_home(pipeline->output);
    }
  }
  if (!folder) return {};
  const auto shown = [&](const fs::path& path) {
    return without_controls_on_one_line(fs::proximate(path, ignored).string());
  };
  const bool is_here = fs::absolute(output, ignored).lexically_normal() == *folder;
  return fmt::format("naru train {}{}", shown(file), is_here ? "" : " --out " + shown(*folder));
}

// kNotFound where nothing is at a path that a run of a recipe beside this one makes: what is to be run before. Else it
// is left for whoever opens it.
Status check_made(const std::string& written, const std::filesystem::path& recipe_folder, std::string_view doing) {
  namespace fs = std::filesystem;
  std::error_code ignored;
  const fs::path place = fs::absolute(recipes::resolved_path(written, recipe_folder), ignored).lexically_normal();
  if (is_builtin_path(written) || fs::exists(place, ignored)) return {};
  std::vector<fs::path> files;
  for (fs::directory_iterator entry(recipe_folder, ignored), end; !ignored && entry != end; entry.increment(ignored)) {
    if (entry->path().extension() == ".toml") files.push_back(entry->path());
  }
  std::sort(files.begin(), files.end());
  for (const fs::path& file : files) {
    const std::string command = command_that_makes(file, place);
    if (command.empty()) continue;
    return Error{Code::kNotFound,
                 fmt::format("{}: {}: it is not there, a model was wanted; this makes it: {}", doing,
                             without_controls_on_one_line(fs::proximate(place, ignored).string()), command)};
  }
  return {};
}

}  // namespace

Result<std::string> find_model_path(const std::string& given) {
  return find_at(given, given, "opening the model");
}

Status find_recipe_models(recipes::ModelRecipe& model, const std::filesystem::path& recipe_folder) {
  constexpr std::string_view kDoing = "opening model.path (paths count from the recipe's folder)";
  const auto find = [&](const std::string& written) {
    return find_at(written, recipes::resolved_path(written, recipe_folder), kDoing);
  };
  if (!model.path.empty()) {
    NARU_ASSIGN(const std::string found, find(model.path));
    if (found != model.path) model.pulled_path = found;
    if (found == model.path) NARU_TRY(check_made(found, recipe_folder, kDoing));
  }
  if (model.tokenizer.empty()) return {};
  const auto found = find(model.tokenizer);
  if (found.ok() && *found != model.tokenizer) model.pulled_tokenizer = *found;
  return {};
}

Status find_recipe_teachers(recipes::Recipe& recipe, const std::filesystem::path& recipe_folder) {
  for (recipes::TeacherRecipe& teacher : recipe.teacher) {
    if (!teacher.pulled_path.empty()) continue;
    constexpr std::string_view kDoing = "opening teacher.path (paths count from the recipe's folder)";
    NARU_ASSIGN(const std::string found,
                find_at(teacher.path, recipes::resolved_path(teacher.path, recipe_folder), kDoing));
    if (found != teacher.path) teacher.pulled_path = found;
    if (found == teacher.path) NARU_TRY(check_made(found, recipe_folder, kDoing));
  }
  return {};
}

std::function<Status(const Given&)> set_model_path(std::string* path) {
  return [path](const Given& given) -> Status {
    NARU_ASSIGN(const std::string found, find_model_path(given.text));
    NARU_ASSIGN(*path, model_of_run(found));
    return {};
  };
}

}  // namespace naru::cli
