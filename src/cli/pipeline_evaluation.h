// The models of a pipeline asked its problems ([[evaluate]]): each model once, whatever start of the pipeline comes to
// it; what was found is kept in evaluations.json of the pipeline's folder (runs/pipeline_scores.h).
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "cli/options.h"
#include "contract/chip.h"
#include "eval/problem_set.h"
#include "recipes/pipeline.h"
#include "runs/pipeline_scores.h"

namespace naru::cli {

class PipelineEvaluation {
 public:
  // Makes or reads all problems, and the results that there are: what is wrong with them is said before any work.
  static Result<PipelineEvaluation> open(const recipes::Pipeline& pipeline, const ModelOptions& machine);

  bool is_empty() const { return asked_.empty(); }
  // The model that a stage begins with, where it is no other stage's and is there before it; and the stage's own, once
  // it is done. kCancelled where the user stopped it: what was asked of this model by then is asked again.
  Status evaluate_start(size_t stage, contract::Chip& chip, bool is_said);
  Status evaluate_stage(size_t stage, contract::Chip& chip, bool is_said);

  const runs::PipelineScores& scores() const { return scores_; }

 private:
  struct Asked {
    recipes::EvaluateRecipe recipe;
    eval::ProblemSet set;
  };
  // Which models there are, in their order, and of each stage those that are its.
  void list_models();
  Status evaluate(runs::ScoredModel& model, const std::filesystem::path& path, contract::Chip& chip, bool is_said);
  Result<runs::Evaluation> ask(const Asked& asked, const std::string& path, contract::Chip& chip);

  const recipes::Pipeline* pipeline_ = nullptr;
  ModelOptions machine_;
  std::filesystem::path folder_;
  std::vector<Asked> asked_;
  std::vector<size_t> start_of_, model_of_;  // by stage: indices in scores_.models; kNoModel where it has none
  runs::PipelineScores scores_;
};

}  // namespace naru::cli
