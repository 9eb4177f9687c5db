// report.html in the folder of a pipeline: all of its stages on one page that needs no network and no program but a
// browser. What each added, as a table of all models and problems; what did not improve, in words; how the stages hang
// together, with their curves and the way to their own reports.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "runs/pipeline_record.h"
#include "runs/pipeline_scores.h"
#include "runs/report.h"

namespace naru::runs {

// Of a stage, as its folder tells.
struct StageFacts {
  StageRecord record;
  std::optional<RunSummary> run = {};  // nothing before it began
  std::string output_sha256 = {};      // of its weights or samples; "" before it is done
  bool has_report = false;
  std::optional<Curve> curve = {};  // its reward, else its loss
};

struct PipelineFacts {
  std::string name;
  std::string command;  // that goes on with it; "" where it is done
  std::vector<StageFacts> stages;
  PipelineScores scores;

  bool is_done() const;
  double seconds() const;  // at work, of all stages
};

// "done", "300 of 600 steps", "to do"; of a stage that neither works nor is done how it ended.
std::string state_text(const StageFacts& stage);

// kNotFound where the folder holds no pipeline. Curves that cannot be read are left out.
Result<PipelineFacts> read_pipeline_facts(const std::filesystem::path& folder, const std::string& command);
std::string pipeline_report_html(const PipelineFacts& facts);
Status write_pipeline_report(const std::filesystem::path& folder, const std::string& command);

}  // namespace naru::runs
