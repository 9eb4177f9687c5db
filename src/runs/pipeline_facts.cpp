// What the folders of a pipeline and of its stages tell.
#include <fmt/format.h>

#include <algorithm>

#include "base/shown_text.h"
#include "runs/pipeline_report.h"
#include "runs/run_files.h"

namespace naru::runs {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kStagePointsMax = 300;  // of a curve beside its stage

std::optional<Curve> curve_of_stage(const fs::path& folder) {
  auto data = read_report_data(folder);
  if (!data.ok()) return std::nullopt;
  for (const std::string_view name : {"reward", "loss"}) {
    const auto found = std::find_if(data->curves.begin(), data->curves.end(), [name](const Curve& curve) {
      return curve.name == name && curve.points.size() > 1;
    });
    if (found == data->curves.end()) continue;
    return Curve{found->name, thinned(found->points, kStagePointsMax)};
  }
  return std::nullopt;
}

}  // namespace

bool PipelineFacts::is_done() const {
  return std::all_of(stages.begin(), stages.end(),
                     [](const StageFacts& s) { return s.run && s.run->status == "done"; });
}

double PipelineFacts::seconds() const {
  double sum = 0;
  for (const StageFacts& stage : stages) sum += stage.run ? stage.run->seconds : 0;
  return sum;
}

std::string state_text(const StageFacts& stage) {
  if (!stage.run) return "to do";
  const RunSummary& run = *stage.run;
  if (run.status == "done") return "done";
  const std::string steps =
      run.steps > 0 ? fmt::format("{} of {}", grouped(run.step), grouped(run.steps)) : std::string();
  if (steps.empty() || run.status == "damaged") return run.status;
  return fmt::format("{}, {}", run.status, steps);
}

Result<PipelineFacts> read_pipeline_facts(const fs::path& folder, const std::string& command) {
  NARU_ASSIGN(auto record, read_pipeline_record(folder));
  if (!record) {
    return Error{Code::kNotFound, fmt::format("reading {}: there is no pipeline in it, one was wanted; give the folder "
                                              "that naru train made of one",
                                              folder.string())};
  }
  PipelineFacts facts{.name = record->name, .command = command, .stages = {}, .scores = {}};
  NARU_ASSIGN(facts.scores, read_pipeline_scores(folder));
  for (StageRecord& stage : record->stages) {
    StageFacts& one = facts.stages.emplace_back();
    const fs::path place = folder / stage.name;
    NARU_ASSIGN(one.run, stage_run(place));
    if (one.run) {
      auto output = stage_output_sha256(place, stage.makes_samples());
      if (output.ok()) one.output_sha256 = std::move(output).value();
      one.curve = curve_of_stage(place);
    }
    std::error_code ignored;
    one.has_report = fs::exists(place / kReportFile, ignored);
    one.record = std::move(stage);
  }
  if (facts.is_done()) facts.command.clear();
  return facts;
}

Status write_pipeline_report(const fs::path& folder, const std::string& command) {
  NARU_ASSIGN(const PipelineFacts facts, read_pipeline_facts(folder, command));
  return write_page(folder, pipeline_report_html(facts));
}

}  // namespace naru::runs
