// pipeline.json, in the folder of a pipeline, beside those of its stages' runs: which stages there are, in order, and
// from which weights and samples of others each went on. How far they are stands in the stages' own run.json.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "recipes/pipeline.h"
#include "runs/run_folder.h"

namespace naru::runs {

// "model", "teacher", "samples", by recipes::InputKind.
std::string_view input_name(recipes::InputKind kind);

struct InputRecord {
  recipes::InputKind kind = recipes::InputKind::kModel;
  std::string stage;   // that made it
  std::string sha256;  // of the weights, of the file of samples; "" before the stage began
};

struct StageRecord {
  std::string name, recipe, kind;  // as the pipeline says; kind "" in records of older versions, where all make models
  std::vector<InputRecord> inputs;

  bool makes_samples() const;
  // The stage whose model it goes on from; "" where there is none.
  std::string model_from() const;
};

struct PipelineRecord {
  std::string name;
  std::vector<StageRecord> stages;
};

PipelineRecord record_of(const recipes::Pipeline& pipeline);
// "the model of sft", "the samples of collect as data"; of all inputs "base", "base, samples of collect".
std::string inputs_text(const std::vector<InputRecord>& inputs);

// Nothing where the folder holds no pipeline; one that cannot be read is kCorrupt.
Result<std::optional<PipelineRecord>> read_pipeline_record(const std::filesystem::path& folder);
// Whole or not at all; makes the folder.
Status write_pipeline_record(const std::filesystem::path& folder, const PipelineRecord& record);

// What stands in the folder goes with the pipeline: the same stages there, and in each folder of a stage nothing or a
// run of the same recipe. Otherwise kInvalidArgument; nothing is changed. With `starts_over` old runs are set aside
// before the first stage starts, and only a folder that is no pipeline's is refused.
Status check_pipeline_folder(const recipes::Pipeline& pipeline, bool starts_over);

// The run of a stage as its folder tells; nothing where it has not begun.
Result<std::optional<RunSummary>> stage_run(const std::filesystem::path& stage_folder);
// What a stage gives to others: the SHA-256 of its weights, or of its file of samples. "" where it has none yet.
Result<std::string> stage_output_sha256(const std::filesystem::path& stage_folder, bool makes_samples);
// OUTPUT/STAGE/model of the last stage that makes a model; nothing where the folder holds no pipeline.
std::optional<std::filesystem::path> pipeline_model(const std::filesystem::path& folder);

}  // namespace naru::runs
