// A pipeline with the recipes of its stages: each read with the names of the stages that it has something from in the
// places of paths, and checked for what those stages make.
#include "recipes/pipeline.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/file.h"
#include "formats/utf8.h"
#include "recipes/pipeline_parts.h"

namespace naru::recipes {
namespace {

using formats::printable;

constexpr std::string_view kRejectionKind = "rejection";  // its output is samples
constexpr std::string_view kDistillKind = "distill";      // the one with a teacher
constexpr std::string_view kModelKey = "model.path";
constexpr std::string_view kTeacherKey = "teacher.path";

Error of_stage(const PipelineText& pipeline, const StageText& stage, const Error& error) {
  return {error.code, fmt::format("stage {} of {}: {}", stage.name, pipeline.name, error.message)};
}

bool sets(std::string_view text, std::string_view key) {
  return text.starts_with(key) && text.substr(key.size()).starts_with('=');
}

// A key that the pipeline itself gives a value.
Status check_set(const PipelineText& pipeline, const StageText& stage, const std::string& one) {
  if (sets(one, kModelKey) && !stage.takes.empty()) {
    return Error{Code::kInvalidArgument,
                 fmt::format("{} is set and the stage takes {}, whose model it goes on from; set the model.path of a "
                             "stage that takes none (STAGE.model.path=FOLDER), or remove takes",
                             printable(one, 120), stage.takes)};
  }
  if (sets(one, kTeacherKey) && !stage.teacher.empty()) {
    return Error{Code::kInvalidArgument,
                 fmt::format("{} is set and the teacher of the stage is {}; set the teacher's path of a stage without "
                             "one, or remove teacher",
                             printable(one, 120), stage.teacher)};
  }
  if (!sets(one, "output") && !sets(one, "name")) return {};
  return Error{Code::kInvalidArgument, fmt::format("{} is set, its folder is {}/{}; set the pipeline's instead",
                                                   printable(one, 80), pipeline.output, stage.name)};
}

size_t index_of(const PipelineText& pipeline, std::string_view name) {
  const auto found = std::find_if(pipeline.stages.begin(), pipeline.stages.end(),
                                  [name](const StageText& one) { return one.name == name; });
  NARU_CHECK(found != pipeline.stages.end(), name);
  return static_cast<size_t>(found - pipeline.stages.begin());
}

// The kind that the recipe's file says; "" where it says none, or cannot be read, which is then said by its reader.
std::string kind_in_file(const std::filesystem::path& path) {
  const auto text = read_file(path, kRecipeBytesMax);
  if (!text.ok()) return "";
  const auto root = parse_toml(formats::without_byte_order_mark(*text), "reading a recipe");
  if (!root.ok()) return "";
  for (const TomlValue& value : root->table) {
    if (value.key == "kind" && value.kind == TomlValue::Kind::kText) return value.text;
  }
  return "";
}

// Known before the recipe is read, which would refuse the teacher's key with other words.
Status check_teacher(const std::string& place, const StageText& stage, const std::filesystem::path& recipe) {
  const std::string kind = kind_in_file(recipe);
  const bool is_set =
      std::any_of(stage.set.begin(), stage.set.end(), [](const auto& one) { return sets(one, "kind"); });
  if (stage.teacher.empty() || kind.empty() || kind == kDistillKind || is_set) return {};
  return refused_pipeline(
      fmt::format("{}: line {}", place, stage.teacher_line),
      fmt::format("stage {} has a teacher and its recipe is of kind {}", stage.name, printable(kind, 40)),
      fmt::format("a recipe of kind {}", kDistillKind), "remove teacher, or name a recipe of distillation");
}

Result<Stage> read_stage(const PipelineText& pipeline, const StageText& text, const std::filesystem::path& folder) {
  Stage stage;
  stage.text = text;
  const std::filesystem::path path = resolved_path(text.recipe, folder);
  stage.folder = path.parent_path();
  std::vector<std::string> overrides = text.set;
  for (const std::string& one : overrides) NARU_TRY(check_set(pipeline, text, one));
  overrides.push_back(fmt::format("name={}-{}", pipeline.name, text.name));
  if (!text.takes.empty()) overrides.push_back(fmt::format("{}={}", kModelKey, text.takes));
  if (!text.teacher.empty()) overrides.push_back(fmt::format("{}={}", kTeacherKey, text.teacher));
  NARU_ASSIGN(stage.recipe, read_recipe(path, overrides));
  stage.recipe.output = (std::filesystem::path(pipeline.output) / text.name).string();
  return stage;
}

// What it has from others, each of a stage that makes such a thing. `place` names the pipeline's file; the stages
// before this one are read.
Status find_inputs(const std::string& place, const PipelineText& text, const std::vector<Stage>& before, Stage& stage) {
  const auto add = [&](InputKind kind, const std::string& name, int64_t line, bool is_made,
                       std::string_view what) -> Status {
    const size_t index = index_of(text, name);
    const RunKind its_kind = before[index].recipe.kind;
    if (is_made == makes_samples(its_kind)) {
      return refused_pipeline(
          fmt::format("{}: line {}", place, line),
          fmt::format("stage {} wants {} of {}, and that is a stage of kind {}, which makes {}", stage.text.name, what,
                      name, run_kind_name(its_kind),
                      makes_samples(its_kind) ? "samples and no model" : "a model and no samples"),
          fmt::format("a stage that makes {}", is_made ? "a model" : "samples (kind = \"rejection\")"),
          is_made ? "take the stage that the samples are drawn from" : "name it in takes, or name another stage");
    }
    stage.inputs.push_back({.kind = kind, .stage = index, .source = 0});
    return {};
  };
  const StageText& own = stage.text;
  if (!own.takes.empty()) NARU_TRY(add(InputKind::kModel, own.takes, own.takes_line, true, "the model"));
  if (!own.teacher.empty()) {
    if (stage.recipe.teacher.size() != 1) {
      return refused_pipeline(fmt::format("{}: line {}", place, own.teacher_line),
                              fmt::format("stage {} has a teacher, and [[teacher]] is in its recipe {} times", own.name,
                                          stage.recipe.teacher.size()),
                              "one, whose path the stage's name takes the place of", "keep one [[teacher]]");
    }
    NARU_TRY(add(InputKind::kTeacher, own.teacher, own.teacher_line, true, "the model (as its teacher)"));
  }
  for (const std::string& name : own.data) {
    NARU_TRY(add(InputKind::kSamples, name, own.data_line, false, "samples"));
    const std::vector<SourceRecipe>& sources = stage.recipe.data;
    const auto found =
        std::find_if(sources.begin(), sources.end(), [&name](const SourceRecipe& s) { return s.path == name; });
    if (found == sources.end()) {
      return refused_pipeline(fmt::format("{}: line {}", place, own.data_line),
                              fmt::format("stage {} is to be trained on samples of {}, and no [[data]] of {} has the "
                                          "path \"{}\"",
                                          own.name, name, printable(own.recipe, 200), name),
                              "a source of that name", fmt::format("write [[data]] and path = \"{}\" in it", name));
    }
    stage.inputs.back().source = static_cast<size_t>(found - sources.begin());
  }
  return {};
}

}  // namespace

bool makes_samples(RunKind kind) {
  return run_kind_name(kind) == kRejectionKind;
}

Result<Pipeline> read_pipeline(const std::filesystem::path& path, const std::vector<std::string>& overrides) {
  NARU_ASSIGN(const std::string toml, read_file(path, kRecipeBytesMax));
  NARU_ASSIGN(const PipelineText text, parse_pipeline(toml, path.string(), overrides));
  Pipeline pipeline{.name = text.name,
                    .output = text.output,
                    .folder = std::filesystem::absolute(path).parent_path(),
                    .stages = {},
                    .evaluate = text.evaluate};
  const std::string place = fmt::format("reading pipeline {}", printable(path.string(), 200));
  for (const StageText& one : text.stages) {
    NARU_TRY(check_teacher(place, one, resolved_path(one.recipe, pipeline.folder)));
    auto stage = read_stage(text, one, pipeline.folder);
    if (!stage.ok()) return of_stage(text, one, stage.error());
    NARU_TRY(find_inputs(place, text, pipeline.stages, *stage));
    pipeline.stages.push_back(std::move(stage).value());
  }
  return pipeline;
}

bool is_pipeline(const std::filesystem::path& path) {
  return kind_in_file(path) == kPipelineKind;
}

}  // namespace naru::recipes
