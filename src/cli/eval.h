// naru eval: how well a model answers problems (eval_problems.cpp), or predicts a text (eval_text.cpp).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cli/json_text.h"
#include "cli/options.h"
#include "cli/problem_flags.h"
#include "models/model.h"
#include "text/chat_tokenizer.h"

namespace naru::cli {

struct EvalProblemOptions : ProblemFlags {
  int64_t samples = 4;      // answers drawn to each problem, beside the greedy one
  std::vector<int64_t> ks;  // of pass@k; empty: 1 and `samples`
  int64_t max_tokens = 256;
  engine::SamplingOptions sampling;  // of the drawn answers
  std::optional<std::string> answers_path;
  Existing existing = Existing::kRefuse;  // of answers_path
  int64_t at_once = 32;
};

struct EvalTextOptions {
  std::string path;
  std::optional<std::string> against;  // a second model
  int64_t window = 0;                  // 0: 2048, or what the model can
  int64_t stride = 0;                  // 0: half of the window
};

struct EvalOptions {
  ModelOptions model;
  uint64_t seed = 1;  // of generators, and of drawn answers
  EvalProblemOptions asked;
  EvalTextOptions text;
  bool json = false;
};

Command make_eval();
Status eval_problems(const EvalOptions& options);
Status eval_text(const EvalOptions& options);

// A model that is to be evaluated, before its weights are read.
struct EvalModel {
  std::string name;  // as messages and tables call it
  models::ModelFiles files;
  std::vector<formats::FileDigest> digests;  // of its files, then of its adapter's
  text::ChatTokenizer text;
};
// The last part of a model's path with the folder that it lies in.
std::string longer_name(const std::string& path);
// Hashes its files, with progress. kNotFound and others where it has no tokenizer.
Result<EvalModel> open_eval_model(const ModelOptions& options);
Json digests_json(const std::vector<formats::FileDigest>& digests);

}  // namespace naru::cli
