// evaluations.json, in the folder of a pipeline: what the models of its stages made of the pipeline's problems. A
// result is a function of the model and of what is asked, and kept under a hash of both: a stage that is evaluated
// again, by another start or behind another stage, is not asked again.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

namespace naru::runs {

inline constexpr int64_t kEvaluationsMax = 10000;                   // results of one pipeline's folder
inline constexpr int64_t kEvaluationsBytesMax = int64_t{64} << 20;  // bytes of evaluations.json

// A share with its interval of 95 %.
struct ScoredShare {
  double mean = 0, low = 0, high = 0;
};

// Of the problems of one language.
struct ScoreLine {
  std::string language;  // "": all problems
  int64_t n_problems = 0;
  ScoredShare greedy;                     // pass@1 of the likeliest answer
  std::optional<ScoredShare> drawn, any;  // of drawn answers: pass@1, and pass@k of all k; where some were drawn
  double language_share = 0;              // of the words of an answer those of the problem's language, the mean
  double tokens = 0;                      // of an answer, the mean
  double cut_share = 0;                   // of the answers: ended by their length
};

// One model, asked one kind of problem.
struct Evaluation {
  std::string key;           // SHA-256 of the model and of all that is asked of it
  std::string problems;      // the name of the kind
  std::string model_sha256;  // of its files of weights
  std::string answers_sha256;
  int64_t samples = 0;           // answers drawn to each problem: k
  bool is_chat = false;          // asked by the model's chat template
  std::vector<ScoreLine> lines;  // first of all problems, then of each language, where there are several
};

// A model of the table, in the order of the stages: that of a stage, or one that a stage began with.
struct ScoredModel {
  std::string name;  // of the stage, or of the model
  bool is_start = false;
  std::string from;               // the one before it, whose model it goes on from; "" where there is none
  std::vector<std::string> keys;  // of its evaluations, in the order of the pipeline
};

struct PipelineScores {
  std::vector<Evaluation> evaluations;
  std::vector<ScoredModel> models;

  const Evaluation* find(const std::string& key) const;
  const ScoredModel* model(const std::string& name) const;
  // Of a model, by the kind of problem; null where it was not asked.
  const Evaluation* of(const ScoredModel& model, const std::string& problems) const;
  // Kinds of problems, in the order in which models have them.
  std::vector<std::string> problem_kinds() const;
};

// None where there is no such file. One that cannot be read is kCorrupt: it is nowhere else, so it is not replaced.
Result<PipelineScores> read_pipeline_scores(const std::filesystem::path& folder);
// Whole or not at all; the folder is there.
Status write_pipeline_scores(const std::filesystem::path& folder, const PipelineScores& scores);

// The table for programs: of each model its evaluations.
nlohmann::ordered_json scores_json(const PipelineScores& scores);

// What a stage did not improve, in plain sentences made of the numbers: of each measure that is no better than in the
// model that the stage went on from. None where no stage goes on from a model that was asked, too.
std::vector<std::string> what_did_not_improve(const PipelineScores& scores);

}  // namespace naru::runs
