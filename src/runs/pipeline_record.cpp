#include "runs/pipeline_record.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/home.h"
#include "base/open_file.h"
#include "base/sha256.h"
#include "formats/json.h"
#include "runs/json_lines.h"
#include "runs/run_files.h"

namespace naru::runs {
namespace {

namespace fs = std::filesystem;

using recipes::InputKind;

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

// "base, rl from base, sft from base with samples of collect"
std::string stages_text(const PipelineRecord& record) {
  std::string text;
  for (const StageRecord& stage : record.stages) {
    text += (text.empty() ? "" : ", ") + stage.name;
    for (const InputRecord& input : stage.inputs) {
      const bool is_model = input.kind == InputKind::kModel;
      text += is_model ? " from " + input.stage : fmt::format(" with {} of {}", input_name(input.kind), input.stage);
    }
  }
  return text;
}

std::optional<InputKind> input_kind(std::string_view name) {
  for (const InputKind kind : {InputKind::kModel, InputKind::kTeacher, InputKind::kSamples}) {
    if (input_name(kind) == name) return kind;
  }
  return std::nullopt;
}

// Older versions wrote the one model that a stage may take as two keys of the stage.
std::optional<std::vector<InputRecord>> inputs_of(const nlohmann::json& stage) {
  std::vector<InputRecord> inputs;
  if (!stage.contains("inputs")) {
    if (std::string takes = json_text_of(stage, "takes"); !takes.empty()) {
      inputs.push_back({InputKind::kModel, std::move(takes), json_text_of(stage, "from_sha256")});
    }
    return inputs;
  }
  if (!stage["inputs"].is_array()) return std::nullopt;
  for (const nlohmann::json& one : stage["inputs"]) {
    const auto kind = input_kind(json_text_of(one, "as"));
    std::string name = json_text_of(one, "stage");
    if (!kind || name.empty()) return std::nullopt;
    inputs.push_back({*kind, std::move(name), json_text_of(one, "sha256")});
  }
  return inputs;
}

}  // namespace

std::string_view input_name(InputKind kind) {
  switch (kind) {
    case InputKind::kModel: return "model";
    case InputKind::kTeacher: return "teacher";
    case InputKind::kSamples: return "samples";
  }
  return "";
}

bool StageRecord::makes_samples() const {
  const auto known = recipes::run_kind_from_name(kind);
  return known && recipes::makes_samples(*known);
}

std::string StageRecord::model_from() const {
  return inputs.empty() || inputs.front().kind != InputKind::kModel ? "" : inputs.front().stage;
}

PipelineRecord record_of(const recipes::Pipeline& pipeline) {
  PipelineRecord record{.name = pipeline.name, .stages = {}};
  for (const recipes::Stage& stage : pipeline.stages) {
    StageRecord& one = record.stages.emplace_back();
    one.name = stage.text.name;
    one.recipe = stage.text.recipe;
    one.kind = recipes::run_kind_name(stage.recipe.kind);
    for (const recipes::StageInput& input : stage.inputs) {
      one.inputs.push_back({input.kind, pipeline.stages[input.stage].text.name, ""});
    }
  }
  return record;
}

std::string inputs_text(const std::vector<InputRecord>& inputs) {
  std::string text;
  for (const InputRecord& input : inputs) {
    const bool is_model = input.kind == InputKind::kModel;
    text += text.empty() ? "" : ", ";
    text += is_model ? input.stage : fmt::format("{} of {}", input_name(input.kind), input.stage);
  }
  return text;
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
    StageRecord stage;
    stage.name = json_text_of(one, "name");
    stage.recipe = json_text_of(one, "recipe");
    stage.kind = json_text_of(one, "kind");
    // A name is a folder here: one that leads elsewhere is none of ours.
    if (stage.name.empty() || stage.name == "." || stage.name == ".." || stage.name.find('/') != std::string::npos) {
      return unreadable(path, "a stage in it has no name");
    }
    auto inputs = inputs_of(one);
    if (!inputs) return unreadable(path, "what a stage in it has from others is no such thing");
    stage.inputs = std::move(*inputs);
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
    nlohmann::ordered_json inputs = nlohmann::ordered_json::array();
    for (const InputRecord& input : stage.inputs) {
      inputs.push_back({{"as", input_name(input.kind)}, {"stage", input.stage}, {"sha256", input.sha256}});
    }
    json["stages"].push_back(
        {{"name", stage.name}, {"kind", stage.kind}, {"recipe", stage.recipe}, {"inputs", std::move(inputs)}});
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

Result<std::string> stage_output_sha256(const fs::path& stage_folder, bool makes_samples) {
  NARU_ASSIGN(const auto run, stage_run(stage_folder));
  if (!run) return std::string();
  if (!makes_samples) return run->weights_sha256;
  if (run->status != "done") return std::string();
  NARU_ASSIGN(const MappedFile file, MappedFile::open(stage_folder / kSamplesFile));
  std::string sha256 = sha256_hex(file.bytes());
  NARU_TRY(file.check_unchanged());
  return sha256;
}

std::optional<fs::path> pipeline_model(const fs::path& folder) {
  const auto record = read_pipeline_record(folder);
  if (!record.ok() || !*record) return std::nullopt;
  const std::vector<StageRecord>& stages = (*record)->stages;
  const auto last =
      std::find_if(stages.rbegin(), stages.rend(), [](const auto& stage) { return !stage.makes_samples(); });
  return folder / (last == stages.rend() ? stages.back() : *last).name / kModelFolder;
}

}  // namespace naru::runs
