#include "cli/pipeline_evaluation.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "base/file.h"
#include "base/home.h"
#include "base/sha256.h"
#include "cli/chat_session.h"
#include "cli/eval.h"
#include "cli/find_model.h"
#include "cli/interrupts.h"
#include "cli/open_model.h"
#include "cli/pipeline_plan.h"
#include "cli/pipeline_view.h"
#include "cli/progress.h"
#include "cli/terminal.h"
#include "eval/grading.h"
#include "eval/tally.h"
#include "formats/model_digest.h"
#include "runs/run_files.h"

namespace naru::cli {
namespace {

namespace fs = std::filesystem;

using recipes::Stage;

constexpr size_t kNoModel = SIZE_MAX;
constexpr int64_t kAtOnce = 64;  // answers written together; changes none
constexpr int64_t kSmallFileBytesMax = int64_t{256} << 20;
constexpr std::string_view kEvaluationVersion = "naru evaluation 1";

// What of a model's files decides its answers beside the weights: config, tokenizer, template, how answers end.
Result<std::string> small_files_text(const fs::path& model) {
  std::error_code error;
  if (!fs::is_directory(model, error)) return std::string();
  std::vector<fs::path> files;
  for (fs::directory_iterator at(model, error), end; !error && at != end; at.increment(error)) {
    const fs::path extension = at->path().extension();
    if (extension == ".json" || extension == ".jinja" || extension == ".model") files.push_back(at->path());
  }
  if (error) {
    return Error{Code::kUnavailable, fmt::format("evaluating: listing {}: {}; check the folder, and start again",
                                                 model.string(), error.message())};
  }
  std::sort(files.begin(), files.end());
  std::string text;
  for (const fs::path& file : files) {
    NARU_ASSIGN(const std::string bytes, read_file(file, kSmallFileBytesMax));
    text += fmt::format("{}  {}\n", sha256_hex(as_bytes(bytes)), file.filename().string());
  }
  return text;
}

std::string prompts_sha256(const eval::Prompts& prompts) {
  Sha256 hash;
  for (const std::vector<int32_t>& ids : prompts.ids) {
    const int64_t n = std::ssize(ids);
    hash.update(std::as_bytes(std::span(&n, 1)));
    hash.update(std::as_bytes(std::span(ids)));
  }
  return hash.finish_hex();
}

std::vector<runs::ScoreLine> lines_of(const std::vector<eval::ProblemScore>& scores, int64_t samples) {
  const auto share = [](const eval::Interval& i) { return runs::ScoredShare{i.mean, i.low, i.high}; };
  std::vector<int64_t> ks;
  if (samples > 0) ks.push_back(1);
  if (samples > 1) ks.push_back(samples);
  const std::vector<eval::ScoreRow> rows = eval::score_rows(scores, ks);
  const std::vector<eval::AnswerRow> answers = eval::answer_rows(scores);
  std::vector<runs::ScoreLine> lines;
  for (const eval::AnswerRow& answer : answers) {
    runs::ScoreLine& line = lines.emplace_back();
    line.language = answer.language;
    line.n_problems = answer.n_problems;
    line.language_share = answer.language_share;
    line.tokens = answer.tokens;
    line.cut_share = answer.cut_share;
    for (const eval::ScoreRow& row : rows) {
      if (row.language != answer.language) continue;
      if (!row.k) line.greedy = share(row.strict);
      if (row.k == 1) line.drawn = share(row.strict);
      if (row.k == samples) line.any = share(row.strict);
    }
  }
  return lines;
}

std::string model_name_of(const Stage& stage) {
  const std::string name = short_name(stage.recipe.model.path);
  return (name == "model" ? longer_name(stage.recipe.model.path) : name) + " (start)";
}

}  // namespace

Result<PipelineEvaluation> PipelineEvaluation::open(const recipes::Pipeline& pipeline, const ModelOptions& machine) {
  PipelineEvaluation all;
  all.pipeline_ = &pipeline;
  all.machine_ = machine;
  all.folder_ = with_home(pipeline.output);
  for (const recipes::EvaluateRecipe& one : pipeline.evaluate) {
    const bool is_file = !one.path.empty();
    recipes::SourceRecipe source;
    source.generator = one.generator;
    source.language = one.language;
    source.numbers = one.numbers;
    const int64_t count = one.problems.value_or(recipes::kPipelineProblemsDefault);
    auto set = is_file ? eval::problems_of_file(recipes::resolved_path(one.path, pipeline.folder), one.problems,
                                                "problems of [[evaluate]]")
                       : eval::generated_problems(source, one.seed, count);
    if (!set.ok()) return set.error();
    all.asked_.push_back({one, std::move(set).value()});
  }
  if (!all.asked_.empty()) {
    NARU_ASSIGN(all.scores_, runs::read_pipeline_scores(all.folder_));
  }
  all.list_models();
  return all;
}

void PipelineEvaluation::list_models() {
  std::vector<runs::ScoredModel> models;
  const std::vector<Stage>& stages = pipeline_->stages;
  start_of_.assign(stages.size(), kNoModel);
  model_of_.assign(stages.size(), kNoModel);
  for (size_t i = 0; i < stages.size(); ++i) {
    const Stage& stage = stages[i];
    std::string from;
    if (const auto other = stage.model_from()) {
      from = stages[*other].text.name;
    } else if (!stage.recipe.model.path.empty()) {
      from = model_name_of(stage);
      const auto known = std::find_if(models.begin(), models.end(), [&from](const auto& m) { return m.name == from; });
      start_of_[i] = static_cast<size_t>(known - models.begin());
      if (known == models.end()) models.push_back({.name = from, .is_start = true, .from = "", .keys = {}});
    }
    if (!recipes::makes_model(stage.recipe.kind)) continue;
    model_of_[i] = models.size();
    models.push_back({.name = stage.text.name, .is_start = false, .from = from, .keys = {}});
  }
  scores_.models = std::move(models);
}

Status PipelineEvaluation::evaluate_start(size_t stage, contract::Chip& chip, bool is_said) {
  if (start_of_[stage] == kNoModel) return {};
  runs::ScoredModel& model = scores_.models[start_of_[stage]];
  if (!model.keys.empty()) return {};
  const Stage& one = pipeline_->stages[stage];
  const fs::path place = recipes::model_place(one.recipe.model, one.folder);
  return evaluate(model, place, chip, is_said);
}

Status PipelineEvaluation::evaluate_stage(size_t stage, contract::Chip& chip, bool is_said) {
  if (model_of_[stage] == kNoModel) return {};
  return evaluate(scores_.models[model_of_[stage]], stage_folder(pipeline_->stages[stage]) / runs::kModelFolder, chip,
                  is_said);
}

Status PipelineEvaluation::evaluate(runs::ScoredModel& model, const fs::path& path, contract::Chip& chip,
                                    bool is_said) {
  for (const Asked& asked : asked_) {
    NARU_ASSIGN(runs::Evaluation evaluation, ask(asked, path.string(), chip));
    if (is_said) {
      say_dimmed(fmt::format("{}, {}", one_line(model.name), one_line(evaluation_line(evaluation))));
    }
    model.keys.push_back(evaluation.key);
    if (scores_.find(evaluation.key) == nullptr) {
      if (std::ssize(scores_.evaluations) == runs::kEvaluationsMax) {
        return Error{Code::kUnsupported,
                     fmt::format("evaluating {}: {} holds {} evaluations, at most that many are kept; move the file "
                                 "away, they are made again",
                                 model.name, (folder_ / runs::kEvaluationsFile).string(), runs::kEvaluationsMax)};
      }
      scores_.evaluations.push_back(std::move(evaluation));
    }
    NARU_TRY(runs::write_pipeline_scores(folder_, scores_));
  }
  return {};
}

Result<runs::Evaluation> PipelineEvaluation::ask(const Asked& asked, const std::string& path, contract::Chip& chip) {
  ModelOptions options = machine_;
  options.path = path;
  NARU_ASSIGN(EvalModel model, open_eval_model(options));
  NARU_ASSIGN(const eval::Prompts prompts, eval::prompts_of(asked.set, model.text, model.name, false,
                                                            "correct it: model.chat_template of the recipe names one"));
  NARU_ASSIGN(const models::ModelPlan plan, models::plan_model(model.files, chip, load_options(options)));
  NARU_ASSIGN(const std::string small_files, small_files_text(path));

  const recipes::EvaluateRecipe& recipe = asked.recipe;
  runs::Evaluation evaluation;
  evaluation.model_sha256 = formats::digest_of(model.digests);
  evaluation.key = sha256_hex(as_bytes(fmt::format(
      "{}\ngrading {}\n{}\n{}\n{}{}\n{}\n{}\nsamples {}\nmax_tokens {}\ntemperature {}\nseed {}\n", kEvaluationVersion,
      eval::kGradingVersion, recipe.name, evaluation.model_sha256, small_files, plan.numerics_id, asked.set.sha256,
      prompts_sha256(prompts), recipe.samples, recipe.max_tokens, recipe.temperature, recipe.seed)));
  if (const runs::Evaluation* const known = scores_.find(evaluation.key)) return *known;
  const int64_t n_answers = std::ssize(prompts.ids) * (1 + recipe.samples);
  NARU_ASSIGN(const eval::AnsweringRoom room,
              eval::room_for_answers(plan, prompts, recipe.max_tokens, n_answers, kAtOnce, options.prefill_chunk));
  engine::EngineOptions engine_options;
  engine_options.load = load_options(options);
  engine_options.memory.context_tokens = room.context_tokens;
  engine_options.memory.sessions_max = room.at_once;
  engine_options.memory.prefill_chunk = options.prefill_chunk;
  NARU_ASSIGN(const auto engine, engine::Engine::open(std::move(model.files), engine_options, chip));

  eval::Tally tally(asked.set, prompts, model.text.tokenizer, {});
  Progress progress("answers to " + recipe.name, Progress::Unit::kSteps);
  eval::Asking asking{
      .samples = recipe.samples, .max_tokens = recipe.max_tokens, .at_once = room.at_once, .sampling = {}};
  asking.sampling.temperature = recipe.temperature;
  asking.sampling.seed = recipe.seed;
  asking.progress = [&](int64_t n_whole, int64_t) {
    progress.update(n_whole, n_answers);
    return !is_interrupted();
  };
  const Status status = eval::ask(*engine, prompts.ids, asking,
                                  [&](int64_t number, const auto& answers) { return tally.take(number, answers); });
  progress.clear();
  if (!status.ok() && status.error().code == Code::kCancelled) return Error{Code::kCancelled, ""};
  NARU_TRY(status);
  evaluation.problems = recipe.name;
  evaluation.samples = recipe.samples;
  evaluation.is_chat = prompts.is_chat;
  evaluation.answers_sha256 = tally.finish_sha256();
  evaluation.lines = lines_of(tally.scores(), recipe.samples);
  return evaluation;
}

}  // namespace naru::cli
