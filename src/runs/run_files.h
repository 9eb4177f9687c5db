// The names of what lies in the folder of a run (docs/runs.md).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace naru::runs {

inline constexpr const char* kLockFile = "lock";
inline constexpr const char* kRecipeFile = "recipe.toml";
inline constexpr const char* kRunFile = "run.json";
inline constexpr const char* kMetricsFile = "metrics.jsonl";
inline constexpr const char* kSamplesFile = "samples.jsonl";
inline constexpr const char* kDroppedFile = "dropped.jsonl";  // of kind rejection, beside samples.jsonl
inline constexpr const char* kRewardsFile = "rewards.jsonl";
inline constexpr const char* kProblemsFile = "problems.jsonl";
inline constexpr const char* kGroupsFile = "groups.jsonl";
inline constexpr const char* kReportFile = "report.html";
inline constexpr const char* kTensorBoardFolder = "tensorboard";
inline constexpr const char* kCheckpointsFolder = "checkpoints";
inline constexpr const char* kModelFolder = "model";
inline constexpr const char* kAdapterFolder = "adapter";
inline constexpr const char* kPipelineFile = "pipeline.json";  // in the folder that holds a pipeline's runs
inline constexpr const char* kEvaluationsFile = "evaluations.json";  // beside it
inline constexpr const char* kSetAsideMark = "set-aside-";  // and a number: what got out of the way of a run

// Files of lines with a step each, which go back with the run (run_lines.h); the first two are there in every run that
// has steps. One of kind rejection has none: its samples.jsonl is training data (samples/sampler.h).
inline constexpr std::array<std::string_view, 4> kLineFiles = {kMetricsFile, kSamplesFile, kProblemsFile, kGroupsFile};
inline constexpr size_t kLineFilesOfAll = 2;

inline constexpr int64_t kRunFileBytesMax = int64_t{1} << 20;  // bytes of run.json

}  // namespace naru::runs
