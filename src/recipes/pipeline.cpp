#include "recipes/pipeline.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/file.h"
#include "base/nearest.h"
#include "formats/utf8.h"
#include "recipes/recipe_schema.h"
#include "recipes/toml_text.h"

namespace naru::recipes {
namespace {

using formats::printable;

constexpr size_t kStageNameBytesMax = 60;
constexpr std::string_view kSeePipelines = "docs/recipes.md explains pipelines";
constexpr std::array<std::string_view, 5> kPipelineKeys = {"name", "kind", "seed", "output", "stage"};
constexpr std::array<std::string_view, 4> kStageKeys = {"name", "recipe", "takes", "set"};

Error refused(const std::string& place, std::string_view found, std::string_view wanted, std::string_view next) {
  return {Code::kInvalidArgument, fmt::format("{}: {}, {} was wanted; {}", place, found, wanted, next)};
}

bool is_stage_name(std::string_view name) {
  return !name.empty() && name.size() <= kStageNameBytesMax && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
  });
}

class PipelineReader {
 public:
  PipelineReader(std::string place, PipelineText* pipeline) : place_(std::move(place)), pipeline_(pipeline) {}

  Status read(const TomlValue& root) {
    for (const TomlValue& value : root.table) {
      if (value.key == "stage") {
        NARU_TRY(read_stages(value));
      } else if (value.key == "seed") {
        if (value.kind != TomlValue::Kind::kInteger || value.integer < 0) return wrong(value, "a whole number from 0");
        seed_ = fmt::format("seed={}", value.integer);
      } else if (value.key == "name" || value.key == "output") {
        NARU_ASSIGN((value.key == "name" ? pipeline_->name : pipeline_->output), text_of(value));
      } else if (value.key != "kind") {
        return unknown(value, kPipelineKeys, "a pipeline");
      }
    }
    if (!pipeline_->stages.empty()) return {};
    return refused(place_, "it has no [[stage]]", "at least one", kSeePipelines);
  }

  // As an override, in front of all others; "" where the file has none.
  const std::string& seed() const { return seed_; }

  Status check_stages() const {
    const std::vector<StageText>& stages = pipeline_->stages;
    for (size_t i = 0; i < stages.size(); ++i) {
      const StageText& stage = stages[i];
      const std::string place = fmt::format("{}: line {}", place_, lines_[i]);
      if (!is_stage_name(stage.name)) {
        return refused(place, fmt::format("the name of the stage is '{}'", printable(stage.name, 80)),
                       fmt::format("1 to {} of the letters a to z, digits, - and _", kStageNameBytesMax),
                       "write name = \"base\", for one");
      }
      if (find_section(stage.name) != nullptr) {
        return refused(place, fmt::format("the stage is called {}, as a section of recipes is", stage.name),
                       "a name that overrides can tell from it", "call it another");
      }
      const auto is_same = [&stage](const StageText& other) { return other.name == stage.name; };
      if (std::any_of(stages.begin(), stages.begin() + static_cast<std::ptrdiff_t>(i), is_same)) {
        return refused(place, fmt::format("a second stage is called {}", stage.name), "a name for each", "rename one");
      }
      if (stage.recipe.empty()) {
        return refused(place, fmt::format("stage {} names no recipe", stage.name), "the path of one",
                       "write recipe = \"base.toml\", for one");
      }
    }
    return check_takes();
  }

  // What a stage takes comes before it; stages that may run at once keep the order of the file.
  Status sort() {
    std::vector<StageText> sorted, left = std::move(pipeline_->stages);
    const auto is_ready = [&sorted](const StageText& stage) {
      return stage.takes.empty() ||
             std::any_of(sorted.begin(), sorted.end(), [&](const StageText& done) { return done.name == stage.takes; });
    };
    while (!left.empty()) {
      const auto next = std::find_if(left.begin(), left.end(), is_ready);
      if (next == left.end()) {
        return refused(place_, fmt::format("stage {} takes {}, which waits for it", left[0].name, left[0].takes),
                       "stages that can run one after another", "let one of them begin from a model of its own");
      }
      sorted.push_back(std::move(*next));
      left.erase(next);
    }
    pipeline_->stages = std::move(sorted);
    return {};
  }

 private:
  std::string at(const TomlValue& value) const { return fmt::format("{}: line {}", place_, value.line); }
  Error wrong(const TomlValue& value, std::string_view wanted) const {
    return refused(at(value), fmt::format("{} is {}", value.key, toml_brief(value)), wanted, kSeePipelines);
  }
  Error unknown(const TomlValue& value, std::span<const std::string_view> known, std::string_view of) const {
    const auto near = nearest(value.key, known);
    return {Code::kInvalidArgument,
            fmt::format("{}: {} has no key {}; {}known are {}", at(value), of, printable(value.key, 60),
                        near ? fmt::format("did you mean {}? ", *near) : "", fmt::join(known, ", "))};
  }

  Result<std::string> text_of(const TomlValue& value) const {
    const bool is_good = value.kind == TomlValue::Kind::kText && !formats::has_control_characters(value.text) &&
                         static_cast<int64_t>(value.text.size()) <= kRecipePathBytesMax;
    if (!is_good) return wrong(value, fmt::format("a text of at most {} bytes on one line", kRecipePathBytesMax));
    return value.text;
  }

  Status read_stages(const TomlValue& value) {
    const bool is_list = value.kind == TomlValue::Kind::kList &&
                         std::all_of(value.list.begin(), value.list.end(),
                                     [](const TomlValue& one) { return one.kind == TomlValue::Kind::kTable; });
    if (!is_list || static_cast<int64_t>(value.list.size()) > kPipelineStagesMax) {
      return wrong(value, fmt::format("at most {} stages, each under a line [[stage]]", kPipelineStagesMax));
    }
    for (const TomlValue& table : value.list) {
      StageText& stage = pipeline_->stages.emplace_back();
      lines_.push_back(table.line > 0 ? table.line : value.line);
      for (const TomlValue& key : table.table) NARU_TRY(read_key(key, stage));
    }
    return {};
  }

  Status read_key(const TomlValue& value, StageText& stage) const {
    if (value.key == "set") {
      if (value.kind != TomlValue::Kind::kList || static_cast<int64_t>(value.list.size()) > kRecipeListMax) {
        return wrong(value, fmt::format("a list of at most {} texts KEY=VALUE", kRecipeListMax));
      }
      for (const TomlValue& one : value.list) {
        if (one.kind != TomlValue::Kind::kText) return wrong(value, "a list of texts KEY=VALUE");
        stage.set.push_back(one.text);
      }
      return {};
    }
    std::string* const field = value.key == "name"     ? &stage.name
                               : value.key == "recipe" ? &stage.recipe
                               : value.key == "takes"  ? &stage.takes
                                                       : nullptr;
    if (field == nullptr) return unknown(value, kStageKeys, "a stage");
    NARU_ASSIGN(*field, text_of(value));
    return {};
  }

  Status check_takes() const {
    const std::vector<StageText>& stages = pipeline_->stages;
    std::vector<std::string_view> names;
    for (const StageText& stage : stages) names.push_back(stage.name);
    for (size_t i = 0; i < stages.size(); ++i) {
      const std::string& takes = stages[i].takes;
      if (takes.empty() || std::find(names.begin(), names.end(), takes) != names.end()) continue;
      const auto near = nearest(takes, names);
      return refused(
          fmt::format("{}: line {}", place_, lines_[i]),
          fmt::format("stage {} takes '{}', and there is no such stage", stages[i].name, printable(takes, 60)),
          "one of this pipeline", near ? fmt::format("did you mean {}?", *near) : "add it, or name another");
    }
    return {};
  }

  std::string place_;
  PipelineText* pipeline_;
  std::string seed_;
  std::vector<int64_t> lines_;  // of each stage, in the order of the file
};

Status override_with(const std::string& text, PipelineText& pipeline) {
  const std::string place = fmt::format("reading the override {}", printable(text, 120));
  const size_t equals = text.find('=');
  if (equals == std::string::npos) {
    return refused(place, "it has no =", "KEY=VALUE", "for example seed=2, or STAGE.steps=100");
  }
  const std::string_view path = std::string_view(text).substr(0, equals);
  const std::string_view first = path.substr(0, path.find('.'));
  if (path == "output" || path == "name") {
    (path == "name" ? pipeline.name : pipeline.output) = text.substr(equals + 1);
    return {};
  }
  if (path == "kind") return refused(place, "it is another kind", "a pipeline as it is", "train the recipe of a stage");
  const bool is_dotted = first.size() < path.size();
  for (StageText& stage : pipeline.stages) {
    if (!is_dotted || stage.name != first) continue;
    stage.set.push_back(text.substr(first.size() + 1));
    return {};
  }
  if (is_dotted && find_section(first) == nullptr) {
    std::vector<std::string_view> names;
    for (const StageText& stage : pipeline.stages) names.push_back(stage.name);
    return refused(place, fmt::format("'{}' is no stage and no section of recipes", printable(first, 60)),
                   "KEY=VALUE for all stages, or STAGE.KEY=VALUE",
                   fmt::format("the stages are {}", fmt::join(names, ", ")));
  }
  for (StageText& stage : pipeline.stages) stage.set.push_back(text);
  return {};
}

Error of_stage(const PipelineText& pipeline, const StageText& stage, const Error& error) {
  return {error.code, fmt::format("stage {} of {}: {}", stage.name, pipeline.name, error.message)};
}

Result<Stage> read_stage(const PipelineText& pipeline, const StageText& text, const std::filesystem::path& folder) {
  Stage stage;
  stage.text = text;
  const std::filesystem::path path = resolved_path(text.recipe, folder);
  stage.folder = path.parent_path();
  std::vector<std::string> overrides = text.set;
  for (const std::string& one : overrides) {
    if (one.starts_with("model.path=") && !text.takes.empty()) {
      return Error{Code::kInvalidArgument,
                   fmt::format("{} is set and the stage takes {}, whose model it goes on from; set the model.path of a "
                               "stage that takes none (STAGE.model.path=FOLDER), or remove takes",
                               printable(one, 120), text.takes)};
    }
    if (!one.starts_with("output=") && !one.starts_with("name=")) continue;
    return Error{Code::kInvalidArgument, fmt::format("{} is set, its folder is {}/{}; set the pipeline's instead",
                                                     printable(one, 80), pipeline.output, text.name)};
  }
  overrides.push_back(fmt::format("name={}-{}", pipeline.name, text.name));
  if (!text.takes.empty()) overrides.push_back("model.path=" + text.takes);
  NARU_ASSIGN(stage.recipe, read_recipe(path, overrides));
  stage.recipe.output = (std::filesystem::path(pipeline.output) / text.name).string();
  for (size_t i = 0; i < pipeline.stages.size(); ++i) {
    if (pipeline.stages[i].name == text.takes) stage.takes = i;
  }
  return stage;
}

}  // namespace

Result<PipelineText> parse_pipeline(std::string_view toml, std::string_view name,
                                    const std::vector<std::string>& overrides) {
  const std::string place = fmt::format("reading pipeline {}", printable(name, 200));
  if (static_cast<int64_t>(toml.size()) > kRecipeBytesMax) {
    return refused(place, fmt::format("it has {} bytes", toml.size()), fmt::format("at most {}", kRecipeBytesMax),
                   "is it the right file?");
  }
  NARU_ASSIGN(const TomlValue root, parse_toml(formats::without_byte_order_mark(toml), place));
  PipelineText pipeline;
  PipelineReader reader(place, &pipeline);
  NARU_TRY(reader.read(root));
  NARU_TRY(reader.check_stages());
  NARU_TRY(reader.sort());
  if (!reader.seed().empty()) {
    for (StageText& stage : pipeline.stages) stage.set.insert(stage.set.begin(), reader.seed());
  }
  for (const std::string& text : overrides) {
    if (!formats::is_valid_utf8(text)) {
      return refused(place, fmt::format("the override {} is no UTF-8", printable(text, 120)), "UTF-8", "write it so");
    }
    NARU_TRY(override_with(text, pipeline));
  }
  if (pipeline.name.empty()) pipeline.name = std::filesystem::path(name).stem().string();
  const bool is_bad_name = pipeline.name.empty() || pipeline.name.starts_with('.') ||
                           pipeline.name.find('/') != std::string::npos || !formats::is_valid_utf8(pipeline.name) ||
                           formats::has_control_characters(pipeline.name);
  if (is_bad_name) {
    return refused(place, fmt::format("its name is '{}'", printable(pipeline.name, 80)),
                   "a name without / and not beginning with .", "write name = \"...\" at the top");
  }
  if (pipeline.output.empty()) pipeline.output = "runs/" + pipeline.name;
  return pipeline;
}

Result<Pipeline> read_pipeline(const std::filesystem::path& path, const std::vector<std::string>& overrides) {
  NARU_ASSIGN(const std::string toml, read_file(path, kRecipeBytesMax));
  NARU_ASSIGN(const PipelineText text, parse_pipeline(toml, path.string(), overrides));
  Pipeline pipeline{.name = text.name, .output = text.output, .stages = {}};
  const std::filesystem::path folder = std::filesystem::absolute(path).parent_path();
  for (const StageText& one : text.stages) {
    auto stage = read_stage(text, one, folder);
    if (!stage.ok()) return of_stage(text, one, stage.error());
    pipeline.stages.push_back(std::move(stage).value());
  }
  return pipeline;
}

bool is_pipeline(const std::filesystem::path& path) {
  const auto text = read_file(path, kRecipeBytesMax);
  if (!text.ok()) return false;
  const auto root = parse_toml(formats::without_byte_order_mark(*text), "reading a recipe");
  if (!root.ok()) return false;
  return std::any_of(root->table.begin(), root->table.end(), [](const TomlValue& value) {
    return value.key == "kind" && value.kind == TomlValue::Kind::kText && value.text == kPipelineKind;
  });
}

}  // namespace naru::recipes
