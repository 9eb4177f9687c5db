// What the readers of a pipeline share: messages, texts, [[evaluate]], and the order of stages.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "recipes/pipeline.h"
#include "recipes/toml_text.h"

namespace naru::recipes {

inline constexpr std::string_view kSeePipelines = "docs/recipes.md explains pipelines";

// "PLACE: FOUND, WANTED was wanted; NEXT"
Error refused_pipeline(const std::string& place, std::string_view found, std::string_view wanted,
                       std::string_view next);
// `place` names the file and the line, or an override, in all of these.
Error wrong_pipeline_value(const std::string& place, const TomlValue& value, std::string_view wanted);
Error unknown_pipeline_key(const std::string& place, const TomlValue& value, std::span<const std::string_view> known,
                           std::string_view of);
// A text of at most kRecipePathBytesMax bytes on one line.
Result<std::string> pipeline_text_of(const std::string& place, const TomlValue& value);

// One key of [[evaluate]], and then what its keys are to each other; puts in its name where none is given.
Status read_evaluate_key(const std::string& place, const TomlValue& value, EvaluateRecipe& evaluate);
Status check_evaluate(const std::string& place, EvaluateRecipe& evaluate);

// Names, and that every stage that another wants something of is there. `place` names the file.
Status check_stage_names(const std::string& place, const std::vector<StageText>& stages);
// What a stage has from others comes before it; stages that may run at once keep the order of the file.
Status sort_stages(const std::string& place, std::vector<StageText>& stages);

}  // namespace naru::recipes
