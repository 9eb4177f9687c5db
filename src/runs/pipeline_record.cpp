#include "runs/pipeline_record.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/home.h"
#include "base/open_file.h"
#include "formats/json.h"
#include "runs/json_lines.h"
#include "runs/run_files.h"

namespace naru::runs {
namespace {

namespace fs = std::filesystem;

Error unreadable(const fs::path& path, std::string_view why) {
  return {
      Code::kCorrupt,
      fmt::format("reading {}: {}, the record of a pipeline was wanted; move it away: it is written again, and what "
                  "the stages went on from is then not compared",
                  path.string(), why)};
}

Status check_stage_folder(const recipes::Stage& stage) {
  const fs::path path = fs::path(with_home(stage.recipe.output)) / kRecipeFile;
  NARU_ASSIGN(const bool is_there, is_anything(path));
  if (!is_there) return {};
  NARU_ASSIGN(const recipes::Recipe there, recipes::read_recipe(path, {}));
  const auto difference = recipes::recipe_difference(there, stage.recipe);
  if (!difference) return {};
  return Error{Code::kInvalidArgument,
               fmt::format("opening stage {}: the run in {} was made by another recipe: {}, the same was wanted; give "
                           "the pipeline another output=FOLDER, or begin all stages anew with --start-over, which sets "
                           "the old runs aside",
                           stage.text.name, path.parent_path().string(), *difference)};
}

// "base, rl from base"
std::string stages_text(const PipelineRecord& record) {
  std::string text;
  for (const StageRecord& stage : record.stages) {
    text += (text.empty() ? "" : ", ") + stage.name + (stage.takes.empty() ? "" : " from " + stage.takes);
  }
  return text;
}

}  // namespace

PipelineRecord record_of(const recipes::Pipeline& pipeline) {
  PipelineRecord record{.name = pipeline.name, .stages = {}};
  for (const recipes::Stage& stage : pipeline.stages) {
    record.stages.push_back(
        {.name = stage.text.name, .recipe = stage.text.recipe, .takes = stage.text.takes, .from_sha256 = ""});
  }
  return record;
}

Result<std::optional<PipelineRecord>> read_pipeline_record(const fs::path& folder) {
  const fs::path path = folder / kPipelineFile;
  NARU_ASSIGN(const bool is_there, is_anything(path));
  if (!is_there) return std::optional<PipelineRecord>();
  NARU_ASSIGN(const std::string text, read_file(path, kRunFileBytesMax));
  const auto json = formats::parse_json(as_bytes(text), path.string());
  if (!json.ok()) return unreadable(path, "it is no JSON");
  if (!json->is_object() || !json->contains("stages") || !(*json)["stages"].is_array()) {
    return unreadable(path, "it has no stages");
  }
  PipelineRecord record{.name = json_text_of(*json, "name"), .stages = {}};
  for (const nlohmann::json& one : (*json)["stages"]) {
    StageRecord stage{.name = json_text_of(one, "name"),
                      .recipe = json_text_of(one, "recipe"),
                      .takes = json_text_of(one, "takes"),
                      .from_sha256 = json_text_of(one, "from_sha256")};
    // A name is a folder here: one that leads elsewhere is none of ours.
    if (stage.name.empty() || stage.name == "." || stage.name == ".." || stage.name.find('/') != std::string::npos) {
      return unreadable(path, "a stage in it has no name");
    }
    record.stages.push_back(std::move(stage));
  }
  if (record.stages.empty()) return unreadable(path, "it has no stages");
  return std::optional<PipelineRecord>(std::move(record));
}

Status write_pipeline_record(const fs::path& folder, const PipelineRecord& record) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) {
    return Error{Code::kUnavailable,
                 fmt::format("making {}: {}; choose a folder that may be written", folder.string(), error.message())};
  }
  nlohmann::ordered_json json = {{"format", 1}, {"name", record.name}};
  json["stages"] = nlohmann::ordered_json::array();
  for (const StageRecord& stage : record.stages) {
    json["stages"].push_back(
        {{"name", stage.name}, {"recipe", stage.recipe}, {"takes", stage.takes}, {"from_sha256", stage.from_sha256}});
  }
  NARU_ASSIGN(AtomicFile file, AtomicFile::create(folder / kPipelineFile));
  NARU_TRY(file.write(as_bytes(json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n")));
  return file.commit();
}

Status check_pipeline_folder(const recipes::Pipeline& pipeline, bool starts_over) {
  const fs::path folder = with_home(pipeline.output);
  NARU_ASSIGN(const bool is_run, is_anything(folder / kRunFile));
  if (is_run) {
    return Error{Code::kInvalidArgument,
                 fmt::format("opening the pipeline's folder {}: there is a run in it, a new folder or one of this "
                             "pipeline was wanted; give another output=FOLDER",
                             folder.string())};
  }
  NARU_ASSIGN(const auto there, read_pipeline_record(folder));
  if (starts_over) return {};
  const std::string wanted = stages_text(record_of(pipeline));
  if (there && stages_text(*there) != wanted) {
    return Error{Code::kInvalidArgument,
                 fmt::format("opening the pipeline's folder {}: its stages are {}, {} was wanted; give the pipeline "
                             "another output=FOLDER, or begin all stages anew with --start-over",
                             folder.string(), stages_text(*there), wanted)};
  }
  for (const recipes::Stage& stage : pipeline.stages) NARU_TRY(check_stage_folder(stage));
  return {};
}

Result<std::optional<RunSummary>> stage_run(const fs::path& stage_folder) {
  NARU_ASSIGN(const bool is_there, is_anything(stage_folder / kRunFile));
  if (!is_there) return std::optional<RunSummary>();
  NARU_ASSIGN(const std::vector<RunSummary> runs, list_runs(stage_folder));
  return runs.empty() ? std::optional<RunSummary>() : std::optional<RunSummary>(runs.front());
}

std::optional<fs::path> pipeline_model(const fs::path& folder) {
  const auto record = read_pipeline_record(folder);
  if (!record.ok() || !*record) return std::nullopt;
  return folder / (*record)->stages.back().name / kModelFolder;
}

}  // namespace naru::runs
