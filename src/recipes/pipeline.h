// Pipeline: a recipe of recipes (docs/recipes.md). Its stages are runs, each of a recipe of its own, in folders of the
// pipeline's; a stage may go on from the model of another. Everything is read and checked before any of them starts.
//
//   kind = "pipeline"
//   [[stage]]
//   name = "base"
//   recipe = "r1-minute/base.toml"
//   [[stage]]
//   name = "rl"
//   recipe = "r1-minute/rl.toml"
//   takes = "base"
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "recipes/recipe.h"

namespace naru::recipes {

inline constexpr int64_t kPipelineStagesMax = 64;
inline constexpr std::string_view kPipelineKind = "pipeline";

// [[stage]], as it is written.
struct StageText {
  std::string name;              // also of its folder in the pipeline's; no section of recipes has it
  std::string recipe;            // path of a recipe, counted from the pipeline's own folder
  std::string takes;             // the stage whose model it goes on from; "": the model that its recipe names
  std::vector<std::string> set;  // KEY=VALUE: other values for keys of its recipe
};

// A pipeline by itself, without the recipes that it names.
struct PipelineText {
  std::string name;               // default: the file's name without .toml
  std::string output;             // folder of all; default: runs/NAME
  std::vector<StageText> stages;  // in the order in which they run: what a stage takes stands before it
};

struct Stage {
  StageText text;
  Recipe recipe;                 // its output is OUTPUT/NAME; of a stage that takes, model.path is the other's name
  std::filesystem::path folder;  // of its recipe's file: paths in the recipe count from it
  std::optional<size_t> takes;   // index of the stage before it
};

struct Pipeline {
  std::string name;
  std::string output;
  std::vector<Stage> stages;
};

// Overrides: output=FOLDER is the pipeline's; STAGE.KEY=VALUE is for one stage, KEY=VALUE for all; they stand in `set`
// of the stages then, behind what the file says. kInvalidArgument, by line, for what no pipeline is: a key that is not
// known, no stage, two of one name, one that takes a stage that is not there, or stages that take each other.
Result<PipelineText> parse_pipeline(std::string_view toml, std::string_view name,
                                    const std::vector<std::string>& overrides);
// With the recipes of its stages; what is wrong with one names the stage.
Result<Pipeline> read_pipeline(const std::filesystem::path& path, const std::vector<std::string>& overrides);

// Whether the file says kind = "pipeline". What cannot be read is false here and said by whoever reads it.
bool is_pipeline(const std::filesystem::path& path);

}  // namespace naru::recipes
