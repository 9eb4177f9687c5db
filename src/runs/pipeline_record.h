// pipeline.json, in the folder of a pipeline, beside those of its stages' runs: which stages there are, in order, and
// from which weights each went on. How far they are stands in the stages' own run.json.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "recipes/pipeline.h"
#include "runs/run_folder.h"

namespace naru::runs {

struct StageRecord {
  std::string name, recipe, takes;  // as the pipeline says
  std::string from_sha256;          // of the weights that it went on from; "" before it began, and where it takes none
};

struct PipelineRecord {
  std::string name;
  std::vector<StageRecord> stages;
};

PipelineRecord record_of(const recipes::Pipeline& pipeline);

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
// OUTPUT/STAGE/model of the last stage; nothing where the folder holds no pipeline.
std::optional<std::filesystem::path> pipeline_model(const std::filesystem::path& folder);

}  // namespace naru::runs
