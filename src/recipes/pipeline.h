// Pipeline: a recipe of recipes (docs/recipes.md). Its stages are runs, each of a recipe of its own, in folders of the
// pipeline's; a stage may go on from the model of another, learn from another as its teacher, and be trained on the
// samples of others. What takes what is a graph without cycles. Everything is read and checked before any of them
// starts.
//
//   kind = "pipeline"
//   [[stage]]
//   name = "base"
//   recipe = "r1-minute/base.toml"
//   [[stage]]
//   name = "rl"
//   recipe = "r1-minute/rl.toml"
//   takes = "base"
//   [[evaluate]]
//   generator = "digits"
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
inline constexpr int64_t kPipelineEvaluationsMax = 16;        // [[evaluate]] of a pipeline
inline constexpr int64_t kPipelineProblemsMax = 100'000;      // problems of one [[evaluate]]
inline constexpr int64_t kPipelineSamplesMax = 1024;          // answers drawn to each of them
inline constexpr int64_t kPipelineAnswerTokensMax = 1 << 20;  // of one answer
inline constexpr std::string_view kPipelineKind = "pipeline";

// [[stage]], as it is written.
struct StageText {
  std::string name;               // also of its folder in the pipeline's; no section of recipes has it
  std::string recipe;             // path of a recipe, counted from the pipeline's own folder
  std::string takes;              // the stage whose model it goes on from; "": the model that its recipe names
  std::string teacher;            // the stage whose model is its teacher; "": the one that its recipe names
  std::vector<std::string> data;  // stages whose samples it is trained on, which [[data]] of its recipe calls by name
  std::vector<std::string> set;   // KEY=VALUE: other values for keys of its recipe
  // Lines of the file, for messages: of [[stage]], and of the keys that are there.
  int64_t line = 0, takes_line = 0, teacher_line = 0, data_line = 0;
};

// [[evaluate]]: problems that the model of every stage is asked, and the model that a stage without another's begins
// with. They decide no bit of any model.
struct EvaluateRecipe {
  std::string name;       // in tables; default: the generator, with its language, or the file's name without .jsonl
  std::string path;       // a .jsonl file of problems, counted from the pipeline's own folder; or
  std::string generator;  // held-out problems of a built-in generator
  std::string language;   // of word_problems and countdown
  int64_t numbers = 0;    // of countdown: 3 or 4; 0: either
  std::optional<int64_t> problems;  // how many; default: kPipelineProblemsDefault, of a file all
  int64_t samples = 8;              // answers drawn to each, beside the likeliest one
  int64_t max_tokens = 256;         // of an answer
  double temperature = 1;           // of the drawn ones
  uint64_t seed = 1;                // of the generator and of the drawn answers
};
inline constexpr int64_t kPipelineProblemsDefault = 100;

// A pipeline by itself, without the recipes that it names.
struct PipelineText {
  std::string name;               // default: the file's name without .toml
  std::string output;             // folder of all; default: runs/NAME
  std::vector<StageText> stages;  // in the order in which they run: what a stage takes stands before it
  std::vector<EvaluateRecipe> evaluate;
};

// What a stage has from another.
enum class InputKind : uint8_t { kModel, kTeacher, kSamples };
struct StageInput {
  InputKind kind = InputKind::kModel;
  size_t stage = 0;   // index of the other, which stands before it
  size_t source = 0;  // of samples: index in `data` of the recipe
};

struct Stage {
  StageText text;
  // Its output is OUTPUT/NAME. Where it has something from another stage, the other's name stands for it: in
  // model.path, in the teacher's path, in the path of a source.
  Recipe recipe;
  std::filesystem::path folder;    // of its recipe's file: paths in the recipe count from it
  std::vector<StageInput> inputs;  // the model first

  std::optional<size_t> model_from() const {
    return inputs.empty() || inputs.front().kind != InputKind::kModel ? std::nullopt
                                                                      : std::optional<size_t>(inputs.front().stage);
  }
};

struct Pipeline {
  std::string name;
  std::string output;
  std::filesystem::path folder;  // of the pipeline's file
  std::vector<Stage> stages;
  std::vector<EvaluateRecipe> evaluate;
};

// What a run of this kind leaves: samples of a model, or a model.
bool makes_samples(RunKind kind);
inline bool makes_model(RunKind kind) {
  return !makes_samples(kind);
}

// Overrides: output=FOLDER is the pipeline's; evaluate.KEY=VALUE is for all [[evaluate]]; STAGE.KEY=VALUE is for one
// stage, KEY=VALUE for all; they stand in `set` of the stages then, behind what the file says. kInvalidArgument, by
// line, for what no pipeline is: a key that is not known, no stage, two of one name, one that takes something of a
// stage that is not there, or stages that wait for each other.
Result<PipelineText> parse_pipeline(std::string_view toml, std::string_view name,
                                    const std::vector<std::string>& overrides);
// With the recipes of its stages; what is wrong with one names the stage. A stage that wants a model of one that makes
// none, or samples of one that makes none, is kInvalidArgument too.
Result<Pipeline> read_pipeline(const std::filesystem::path& path, const std::vector<std::string>& overrides);

// Whether the file says kind = "pipeline". What cannot be read is false here and said by whoever reads it.
bool is_pipeline(const std::filesystem::path& path);

}  // namespace naru::recipes
