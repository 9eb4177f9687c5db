// The stages of a pipeline as a graph: their names, what each has from others, and an order in which they can run.
#include <fmt/format.h>

#include <algorithm>

#include "base/ascii.h"
#include "base/nearest.h"
#include "formats/utf8.h"
#include "recipes/pipeline_parts.h"
#include "recipes/recipe_schema.h"

namespace naru::recipes {
namespace {

using formats::printable;

constexpr size_t kStageNameBytesMax = 60;
constexpr std::string_view kEvaluateSection = "evaluate";

bool is_stage_name(std::string_view name) {
  return !name.empty() && name.size() <= kStageNameBytesMax &&
         std::all_of(name.begin(), name.end(), [](char c) { return is_ascii_alphanumeric(c) || c == '-' || c == '_'; });
}

// Something of another stage, as the file says it.
struct Wanted {
  std::string_view stage, verb;  // "takes", "has as its teacher", "has samples of"
  int64_t line = 0;
};

std::vector<Wanted> wanted_by(const StageText& stage) {
  std::vector<Wanted> all;
  if (!stage.takes.empty()) all.push_back({stage.takes, "takes", stage.takes_line});
  if (!stage.teacher.empty()) all.push_back({stage.teacher, "has as its teacher", stage.teacher_line});
  for (const std::string& name : stage.data) all.push_back({name, "is trained on samples of", stage.data_line});
  return all;
}

std::string at_line(const std::string& place, int64_t line) {
  return fmt::format("{}: line {}", place, line);
}

Status check_name(const std::string& place, const std::vector<StageText>& stages, size_t index) {
  const StageText& stage = stages[index];
  const std::string at = at_line(place, stage.line);
  if (!is_stage_name(stage.name)) {
    return refused_pipeline(at, fmt::format("the name of the stage is '{}'", printable(stage.name, 80)),
                            fmt::format("1 to {} of the letters a to z, digits, - and _", kStageNameBytesMax),
                            "write name = \"base\", for one");
  }
  if (find_section(stage.name) != nullptr || stage.name == kEvaluateSection) {
    return refused_pipeline(at, fmt::format("the stage is called {}, as a section of recipes is", stage.name),
                            "a name that overrides can tell from it", "call it another");
  }
  const auto is_same = [&stage](const StageText& other) { return other.name == stage.name; };
  if (std::any_of(stages.begin(), stages.begin() + static_cast<std::ptrdiff_t>(index), is_same)) {
    return refused_pipeline(at, fmt::format("a second stage is called {}", stage.name), "a name for each",
                            "rename one");
  }
  if (!stage.recipe.empty()) return {};
  return refused_pipeline(at, fmt::format("stage {} names no recipe", stage.name), "the path of one",
                          "write recipe = \"base.toml\", for one");
}

Status check_wanted(const std::string& place, const std::vector<StageText>& stages, const StageText& stage) {
  std::vector<std::string_view> names;
  for (const StageText& one : stages) names.push_back(one.name);
  const std::vector<Wanted> all = wanted_by(stage);
  for (const Wanted& wanted : all) {
    if (std::find(names.begin(), names.end(), wanted.stage) != names.end()) continue;
    const auto near = nearest(wanted.stage, names);
    return refused_pipeline(at_line(place, wanted.line),
                            fmt::format("stage {} {} '{}', and there is no such stage", stage.name, wanted.verb,
                                        printable(std::string(wanted.stage), 60)),
                            "one of this pipeline",
                            near ? fmt::format("did you mean {}?", *near) : "add it, or name another");
  }
  for (size_t i = 0; i < stage.data.size(); ++i) {
    if (std::count(stage.data.begin(), stage.data.end(), stage.data[i]) == 1) continue;
    return refused_pipeline(at_line(place, stage.data_line),
                            fmt::format("stage {} is trained on samples of {} twice", stage.name, stage.data[i]),
                            "each stage once", "remove one");
  }
  return {};
}

const StageText* find_stage(const std::vector<StageText>& stages, std::string_view name) {
  const auto found =
      std::find_if(stages.begin(), stages.end(), [name](const StageText& one) { return one.name == name; });
  return found == stages.end() ? nullptr : &*found;
}

// Among stages none of which can run, each waits for another of them: following that leads round.
Error cycle_among(const std::string& place, const std::vector<StageText>& left) {
  const auto next_of = [&left](const StageText& stage) {
    for (const Wanted& wanted : wanted_by(stage)) {
      if (const StageText* const other = find_stage(left, wanted.stage)) return std::pair(other, wanted);
    }
    return std::pair<const StageText*, Wanted>(nullptr, {});
  };
  std::vector<const StageText*> way;
  const StageText* at = &left.front();
  while (std::find(way.begin(), way.end(), at) == way.end()) {
    way.push_back(at);
    at = next_of(*at).first;
    NARU_CHECK(at != nullptr, way.size());
  }
  way.erase(way.begin(), std::find(way.begin(), way.end(), at));
  const auto [other, wanted] = next_of(*at);
  std::string round;
  for (const StageText* one : way) round += one->name + ", ";
  return refused_pipeline(at_line(place, wanted.line),
                          fmt::format("stage {} {} {}, which waits for it{}", at->name, wanted.verb, wanted.stage,
                                      way.size() > 2 ? fmt::format(" (round and round: {}{})", round, at->name) : ""),
                          "an order in which stages can run", "let one of them begin from a model of its own");
}

}  // namespace

Status check_stage_names(const std::string& place, const std::vector<StageText>& stages) {
  for (size_t i = 0; i < stages.size(); ++i) NARU_TRY(check_name(place, stages, i));
  for (const StageText& stage : stages) NARU_TRY(check_wanted(place, stages, stage));
  return {};
}

Status sort_stages(const std::string& place, std::vector<StageText>& stages) {
  std::vector<StageText> sorted, left = std::move(stages);
  const auto is_ready = [&sorted](const StageText& stage) {
    const std::vector<Wanted> all = wanted_by(stage);
    return std::all_of(all.begin(), all.end(),
                       [&sorted](const Wanted& wanted) { return find_stage(sorted, wanted.stage) != nullptr; });
  };
  while (!left.empty()) {
    const auto next = std::find_if(left.begin(), left.end(), is_ready);
    if (next == left.end()) return cycle_among(place, left);
    sorted.push_back(std::move(*next));
    left.erase(next);
  }
  stages = std::move(sorted);
  return {};
}

}  // namespace naru::recipes
