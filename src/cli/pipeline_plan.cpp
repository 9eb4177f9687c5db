#include "cli/pipeline_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <system_error>

#include "base/builtin_file.h"
#include "base/home.h"
#include "cli/find_model.h"
#include "runs/pipeline_record.h"
#include "runs/run_files.h"

namespace naru::cli {
namespace {

namespace fs = std::filesystem;

using recipes::InputKind;
using recipes::Pipeline;
using recipes::Stage;
using recipes::StageInput;

bool is_there(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

// The samples of a stage are whole when its run is done; of one that kept none nothing can be planned.
bool has_samples(const fs::path& samples) {
  const auto run = runs::stage_run(samples.parent_path());
  std::error_code error;
  return run.ok() && *run && (*run)->status == "done" && fs::file_size(samples, error) > 0 && !error;
}

// Where it stands in the recipe, and where it leads.
void put_input(const Pipeline& pipeline, const StageInput& input, recipes::Recipe& recipe) {
  const fs::path folder = fs::absolute(stage_folder(pipeline.stages[input.stage]));
  switch (input.kind) {
    case InputKind::kModel: recipe.model.pulled_path = folder / runs::kModelFolder; break;
    case InputKind::kTeacher: recipe.teacher.front().pulled_path = folder / runs::kModelFolder; break;
    case InputKind::kSamples: recipe.data[input.source].samples_path = folder / runs::kSamplesFile; break;
  }
}

// The first stage of those that a stage's model goes back to.
const Stage& root_of(const Pipeline& pipeline, size_t index) {
  while (const auto from = pipeline.stages[index].model_from()) index = *from;
  return pipeline.stages[index];
}

// A teacher that is not there yet is planned as the model that it goes back to.
void plan_teacher_of(const Stage& first, recipes::TeacherRecipe& teacher) {
  const recipes::ModelRecipe& model = first.recipe.model;
  if (model.config.empty()) {
    teacher.pulled_path = absolute_place(recipes::model_place(model, first.folder));
  } else {
    teacher.planned_config = fs::absolute(recipes::resolved_path(model.config, first.folder));
    teacher.planned_tokenizer = absolute_place(recipes::tokenizer_place(model, first.folder));
  }
}

void plan_model_of(const Stage& first, recipes::ModelRecipe& planned) {
  const recipes::ModelRecipe& model = first.recipe.model;
  planned.pulled_path.clear();
  planned.path.clear();
  if (model.config.empty()) {
    planned.path = absolute_place(recipes::model_place(model, first.folder)).string();
  } else {
    planned.config = fs::absolute(recipes::resolved_path(model.config, first.folder)).string();
  }
  if (planned.tokenizer.empty()) {
    planned.tokenizer = absolute_place(recipes::tokenizer_place(model, first.folder)).string();
  }
  if (planned.chat_template.empty() && !model.chat_template.empty()) {
    planned.chat_template = fs::absolute(recipes::resolved_path(model.chat_template, first.folder)).string();
  }
  if (planned.form.empty()) planned.form = model.form;
}

// Samples look like solutions of the problems that they are drawn for: as many of those, few, are read in their place.
void plan_samples_of(const Stage& from, recipes::SourceRecipe& source) {
  constexpr int64_t kDocuments = 64;
  const auto problems = std::find_if(from.recipe.data.begin(), from.recipe.data.end(),
                                     [](const recipes::SourceRecipe& one) { return !one.generator.empty(); });
  const double weight = source.weight;
  source = problems == from.recipe.data.end() ? recipes::SourceRecipe{} : *problems;
  if (source.generator.empty()) source.generator = "digits";
  source.documents = kDocuments;
  source.weight = weight;
}

}  // namespace

fs::path stage_folder(const Stage& stage) {
  return with_home(stage.recipe.output);
}

Result<Pipeline> pipeline_of(const TrainOptions& options) {
  std::vector<std::string> overrides = options.overrides;
  if (options.output) overrides.push_back("output=" + *options.output);
  NARU_ASSIGN(Pipeline pipeline, recipes::read_pipeline(options.recipe_path, overrides));
  for (Stage& stage : pipeline.stages) {
    recipes::ModelRecipe& model = stage.recipe.model;
    const std::string named = model.path;
    if (stage.model_from()) model.path.clear();  // its name is a stage's and no pulled model's
    Status found = find_recipe_models(model, stage.folder);
    model.path = named;
    for (const StageInput& input : stage.inputs) put_input(pipeline, input, stage.recipe);
    if (found.ok()) found = find_recipe_teachers(stage.recipe, stage.folder);
    if (!found.ok()) {
      return Error{found.error().code, fmt::format("stage {}: {}", stage.text.name, found.error().message)};
    }
  }
  return pipeline;
}

recipes::Recipe planned_recipe(const Pipeline& pipeline, size_t index) {
  const Stage& stage = pipeline.stages[index];
  recipes::Recipe recipe = stage.recipe;
  for (const StageInput& input : stage.inputs) {
    const Stage& other = pipeline.stages[input.stage];
    switch (input.kind) {
      case InputKind::kModel:
        if (!is_there(recipe.model.pulled_path / "config.json")) {
          plan_model_of(root_of(pipeline, input.stage), recipe.model);
        }
        break;
      case InputKind::kTeacher:
        if (!is_there(recipe.teacher.front().pulled_path / "config.json")) {
          plan_teacher_of(root_of(pipeline, input.stage), recipe.teacher.front());
        }
        break;
      case InputKind::kSamples:
        if (!has_samples(recipe.data[input.source].samples_path)) {
          plan_samples_of(other, recipe.data[input.source]);
        }
        break;
    }
  }
  return recipe;
}

bool waits_for_samples(const Stage& stage) {
  return std::any_of(stage.inputs.begin(), stage.inputs.end(), [&stage](const StageInput& input) {
    return input.kind == InputKind::kSamples && !has_samples(stage.recipe.data[input.source].samples_path);
  });
}

}  // namespace naru::cli
