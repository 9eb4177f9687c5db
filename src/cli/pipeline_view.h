// What naru train and naru runs say of a pipeline: its stages before the first step, and the table of its models.
#pragma once

#include <string>
#include <vector>

#include "cli/json_text.h"
#include "cli/terminal.h"
#include "runs/pipeline_report.h"

namespace naru::cli {

struct StageRow {
  std::string name, kind, takes, state;
  double seconds = 0;   // at work so far
  std::string planned;  // of one that is not done: its steps, size and memory
  bool is_done = false;
};
std::string stage_table(const std::vector<StageRow>& rows, Stream stream);

// "word_problems: 31.0 % of 100 right, drawn 28.4 %, one of 8 55.0 %, language 99.1 %, 41.2 tokens"
std::string evaluation_line(const runs::Evaluation& evaluation);
// A table for each kind of problem, with a row for each model and language; then what did not improve. "" where nothing
// was asked. For standard output.
std::string scores_table(const runs::PipelineScores& scores);

}  // namespace naru::cli
