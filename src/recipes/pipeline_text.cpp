// Reading a pipeline's own file: the TOML tree, then overrides on top.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/nearest.h"
#include "formats/utf8.h"
#include "recipes/pipeline_parts.h"
#include "recipes/recipe_schema.h"

namespace naru::recipes {
namespace {

using formats::printable;

constexpr std::array<std::string_view, 6> kPipelineKeys = {"name", "kind", "seed", "output", "stage", "evaluate"};
constexpr std::array<std::string_view, 6> kStageKeys = {"name", "recipe", "takes", "teacher", "data", "set"};

class PipelineReader {
 public:
  PipelineReader(std::string place, PipelineText* pipeline) : place_(std::move(place)), pipeline_(pipeline) {}

  Status read(const TomlValue& root) {
    for (const TomlValue& value : root.table) {
      if (value.key == "stage") {
        NARU_TRY(read_stages(value));
      } else if (value.key == "evaluate") {
        NARU_TRY(read_evaluations(value));
      } else if (value.key == "seed") {
        if (value.kind != TomlValue::Kind::kInteger || value.integer < 0) return wrong(value, "a whole number from 0");
        seed_ = fmt::format("seed={}", value.integer);
      } else if (value.key == "name" || value.key == "output") {
        NARU_ASSIGN((value.key == "name" ? pipeline_->name : pipeline_->output), pipeline_text_of(at(value), value));
      } else if (value.key != "kind") {
        return unknown_pipeline_key(at(value), value, kPipelineKeys, "a pipeline");
      }
    }
    if (!pipeline_->stages.empty()) return {};
    return refused_pipeline(place_, "it has no [[stage]]", "at least one", kSeePipelines);
  }

  // As an override, in front of all others; "" where the file has none.
  const std::string& seed() const { return seed_; }

  // Behind the overrides, which may have changed them.
  Status check_evaluations() const {
    std::vector<EvaluateRecipe>& all = pipeline_->evaluate;
    for (size_t i = 0; i < all.size(); ++i) {
      const std::string place = fmt::format("{}: line {}", place_, evaluate_lines_[i]);
      NARU_TRY(check_evaluate(place, all[i]));
      for (size_t k = 0; k < i; ++k) {
        if (all[k].name != all[i].name) continue;
        return refused_pipeline(place, fmt::format("a second [[evaluate]] is called {}", printable(all[i].name, 80)),
                                "a name for each", "write name = \"...\" in one");
      }
    }
    return {};
  }

 private:
  std::string at(const TomlValue& value) const { return fmt::format("{}: line {}", place_, value.line); }
  Error wrong(const TomlValue& value, std::string_view wanted) const {
    return wrong_pipeline_value(at(value), value, wanted);
  }

  Status check_tables(const TomlValue& value, int64_t n_max, std::string_view what) const {
    const bool is_list = value.kind == TomlValue::Kind::kList &&
                         std::all_of(value.list.begin(), value.list.end(),
                                     [](const TomlValue& one) { return one.kind == TomlValue::Kind::kTable; });
    if (is_list && static_cast<int64_t>(value.list.size()) <= n_max) return {};
    return wrong(value, fmt::format("at most {} {}, each under a line [[{}]]", n_max, what, value.key));
  }

  Status read_stages(const TomlValue& value) {
    NARU_TRY(check_tables(value, kPipelineStagesMax, "stages"));
    for (const TomlValue& table : value.list) {
      StageText& stage = pipeline_->stages.emplace_back();
      stage.line = table.line > 0 ? table.line : value.line;
      for (const TomlValue& key : table.table) NARU_TRY(read_key(key, stage));
    }
    return {};
  }

  Status read_evaluations(const TomlValue& value) {
    NARU_TRY(check_tables(value, kPipelineEvaluationsMax, "evaluations"));
    for (const TomlValue& table : value.list) {
      EvaluateRecipe& evaluate = pipeline_->evaluate.emplace_back();
      evaluate_lines_.push_back(table.line > 0 ? table.line : value.line);
      for (const TomlValue& key : table.table) NARU_TRY(read_evaluate_key(at(key), key, evaluate));
    }
    return {};
  }

  Status read_texts(const TomlValue& value, std::string_view what, std::vector<std::string>* texts) const {
    const std::string wanted = fmt::format("a list of at most {} texts{}", kRecipeListMax, what);
    if (value.kind != TomlValue::Kind::kList || static_cast<int64_t>(value.list.size()) > kRecipeListMax) {
      return wrong(value, wanted);
    }
    for (const TomlValue& one : value.list) {
      if (one.kind != TomlValue::Kind::kText) return wrong(value, fmt::format("a list of texts{}", what));
      texts->push_back(one.text);
    }
    return {};
  }

  Status read_key(const TomlValue& value, StageText& stage) const {
    if (value.key == "set") return read_texts(value, " KEY=VALUE", &stage.set);
    if (value.key == "data") {
      stage.data_line = value.line;
      return read_texts(value, ", each the name of a stage", &stage.data);
    }
    std::string* const field = value.key == "name"      ? &stage.name
                               : value.key == "recipe"  ? &stage.recipe
                               : value.key == "takes"   ? &stage.takes
                               : value.key == "teacher" ? &stage.teacher
                                                        : nullptr;
    if (field == nullptr) return unknown_pipeline_key(at(value), value, kStageKeys, "a stage");
    if (field == &stage.takes) stage.takes_line = value.line;
    if (field == &stage.teacher) stage.teacher_line = value.line;
    NARU_ASSIGN(*field, pipeline_text_of(at(value), value));
    return {};
  }

  std::string place_;
  PipelineText* pipeline_;
  std::string seed_;
  std::vector<int64_t> evaluate_lines_;
};

// Texts need no quotation marks.
TomlValue value_of(std::string_view key, std::string_view text, const std::string& place) {
  const auto parsed = parse_toml(fmt::format("{} = {}", key, text), place);
  if (parsed.ok() && parsed->table.size() == 1) return parsed->table.front();
  TomlValue value;
  value.kind = TomlValue::Kind::kText;
  value.text = std::string(text);
  value.key = std::string(key);
  return value;
}

Status override_evaluations(std::string_view key, std::string_view text, const std::string& place,
                            PipelineText& pipeline) {
  const bool is_key = !key.empty() && key.find_first_not_of("abcdefghijklmnopqrstuvwxyz_") == std::string_view::npos;
  if (!is_key || pipeline.evaluate.empty()) {
    return refused_pipeline(place, is_key ? "the pipeline has no [[evaluate]]" : "it names no key of [[evaluate]]",
                            "evaluate.KEY=VALUE, for all of them", kSeePipelines);
  }
  const TomlValue value = value_of(key, text, place);
  for (EvaluateRecipe& evaluate : pipeline.evaluate) NARU_TRY(read_evaluate_key(place, value, evaluate));
  return {};
}

Status override_with(const std::string& text, PipelineText& pipeline) {
  const std::string place = fmt::format("reading the override {}", printable(text, 120));
  const size_t equals = text.find('=');
  if (equals == std::string::npos) {
    return refused_pipeline(place, "it has no =", "KEY=VALUE", "for example seed=2, or STAGE.steps=100");
  }
  const std::string_view path = std::string_view(text).substr(0, equals);
  const std::string_view first = path.substr(0, path.find('.'));
  if (path == "output" || path == "name") {
    (path == "name" ? pipeline.name : pipeline.output) = text.substr(equals + 1);
    return {};
  }
  if (path == "kind") {
    return refused_pipeline(place, "it is another kind", "a pipeline as it is", "train the recipe of a stage");
  }
  const bool is_dotted = first.size() < path.size();
  if (is_dotted && first == "evaluate") {
    return override_evaluations(path.substr(first.size() + 1), std::string_view(text).substr(equals + 1), place,
                                pipeline);
  }
  for (StageText& stage : pipeline.stages) {
    if (!is_dotted || stage.name != first) continue;
    stage.set.push_back(text.substr(first.size() + 1));
    return {};
  }
  if (is_dotted && find_section(first) == nullptr) {
    std::vector<std::string_view> names;
    for (const StageText& stage : pipeline.stages) names.push_back(stage.name);
    return refused_pipeline(place, fmt::format("'{}' is no stage and no section of recipes", printable(first, 60)),
                            "KEY=VALUE for all stages, or STAGE.KEY=VALUE",
                            fmt::format("the stages are {}", fmt::join(names, ", ")));
  }
  for (StageText& stage : pipeline.stages) stage.set.push_back(text);
  return {};
}

}  // namespace

Error refused_pipeline(const std::string& place, std::string_view found, std::string_view wanted,
                       std::string_view next) {
  return {Code::kInvalidArgument, fmt::format("{}: {}, {} was wanted; {}", place, found, wanted, next)};
}

Error wrong_pipeline_value(const std::string& place, const TomlValue& value, std::string_view wanted) {
  return refused_pipeline(place, fmt::format("{} is {}", value.key, toml_brief(value)), wanted, kSeePipelines);
}

Error unknown_pipeline_key(const std::string& place, const TomlValue& value, std::span<const std::string_view> known,
                           std::string_view of) {
  const auto near = nearest(value.key, known);
  return {Code::kInvalidArgument,
          fmt::format("{}: {} has no key {}; {}known are {}", place, of, printable(value.key, 60),
                      near ? fmt::format("did you mean {}? ", *near) : "", fmt::join(known, ", "))};
}

Result<std::string> pipeline_text_of(const std::string& place, const TomlValue& value) {
  const bool is_good = value.kind == TomlValue::Kind::kText && !formats::has_control_characters(value.text) &&
                       static_cast<int64_t>(value.text.size()) <= kRecipePathBytesMax;
  if (is_good) return value.text;
  return wrong_pipeline_value(place, value, fmt::format("a text of at most {} bytes on one line", kRecipePathBytesMax));
}

Result<PipelineText> parse_pipeline(std::string_view toml, std::string_view name,
                                    const std::vector<std::string>& overrides) {
  const std::string place = fmt::format("reading pipeline {}", printable(name, 200));
  if (static_cast<int64_t>(toml.size()) > kRecipeBytesMax) {
    return refused_pipeline(place, fmt::format("it has {} bytes", toml.size()),
                            fmt::format("at most {}", kRecipeBytesMax), "is it the right file?");
  }
  NARU_ASSIGN(const TomlValue root, parse_toml(formats::without_byte_order_mark(toml), place));
  PipelineText pipeline;
  PipelineReader reader(place, &pipeline);
  NARU_TRY(reader.read(root));
  NARU_TRY(check_stage_names(place, pipeline.stages));
  NARU_TRY(sort_stages(place, pipeline.stages));
  if (!reader.seed().empty()) {
    for (StageText& stage : pipeline.stages) stage.set.insert(stage.set.begin(), reader.seed());
  }
  for (const std::string& text : overrides) {
    if (!formats::is_valid_utf8(text)) {
      return refused_pipeline(place, fmt::format("the override {} is no UTF-8", printable(text, 120)), "UTF-8",
                              "write it so");
    }
    NARU_TRY(override_with(text, pipeline));
  }
  NARU_TRY(reader.check_evaluations());
  if (pipeline.name.empty()) pipeline.name = std::filesystem::path(name).stem().string();
  const bool is_bad_name = pipeline.name.empty() || pipeline.name.starts_with('.') ||
                           pipeline.name.find('/') != std::string::npos || !formats::is_valid_utf8(pipeline.name) ||
                           formats::has_control_characters(pipeline.name);
  if (is_bad_name) {
    return refused_pipeline(place, fmt::format("its name is '{}'", printable(pipeline.name, 80)),
                            "a name without / and not beginning with .", "write name = \"...\" at the top");
  }
  if (pipeline.output.empty()) pipeline.output = "runs/" + pipeline.name;
  return pipeline;
}

}  // namespace naru::recipes
