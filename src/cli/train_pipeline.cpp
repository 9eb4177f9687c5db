#include "cli/train_pipeline.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/home.h"
#include "base/memory.h"
#include "base/shown_text.h"
#include "cli/chat_session.h"
#include "cli/interrupts.h"
#include "cli/open_model.h"
#include "cli/pipeline_evaluation.h"
#include "cli/pipeline_plan.h"
#include "cli/pipeline_view.h"
#include "cli/progress.h"
#include "cli/sample_view.h"
#include "cli/sheet.h"
#include "cli/train_plan.h"
#include "runs/run_files.h"
#include "samples/sampler.h"

namespace naru::cli {
namespace {

namespace fs = std::filesystem;

using recipes::Pipeline;
using recipes::Stage;

// The message says which stage it is about.
Error of_stage(const Stage& stage, const Error& error) {
  if (error.message.empty()) return error;
  return {error.code, fmt::format("stage {}: {}", stage.text.name, error.message)};
}

std::string planned_text(const Stage& stage, const train::TrainingPlan& plan) {
  const bool has_own_steps = stage.recipe.epochs > 0 && waits_for_samples(stage);
  const std::string steps = has_own_steps ? "steps by its samples"
                                          : fmt::format("{} step{}", grouped(plan.steps), plan.steps == 1 ? "" : "s");
  return fmt::format("{}, {} parameters, {}", steps, grouped(plan.n_parameters), format_bytes(plan.total_bytes()));
}

class PipelineRun {
 public:
  PipelineRun(const TrainOptions& options, Pipeline pipeline, contract::Chip& chip)
      : options_(options),
        pipeline_(std::move(pipeline)),
        chip_(chip),
        folder_(with_home(pipeline_.output)),
        record_(runs::record_of(pipeline_)) {}

  // Everything that can be known to go wrong is said before the first stage starts.
  Status plan() {
    if (options_.plan_only) end_at_first_interrupt();  // nothing is written
    NARU_TRY(runs::check_pipeline_folder(pipeline_, starts_over()));
    NARU_ASSIGN(evaluation_, PipelineEvaluation::open(pipeline_, options_.machine));
    if (!starts_over()) NARU_TRY(check_samples());
    NARU_TRY(read_record());
    std::vector<StageRow> rows;
    Json plans = Json::array();
    for (size_t i = 0; i < pipeline_.stages.size(); ++i) {
      NARU_ASSIGN(const StageRow row, plan_stage(i, plans));
      rows.push_back(row);
    }
    bars_.clear();
    Sheet sheet(options_.plan_only ? Stream::kOut : Stream::kErr);
    sheet.title(pipeline_.name, fmt::format(" · pipeline of {}", stages_text()));
    if (options_.plan_only) {
      return write_out(options_.json ? json_text({{"name", pipeline_.name}, {"stages", plans}})
                                     : sheet.str() + stage_table(rows, Stream::kOut));
    }
    if (!options_.json) write_err(sheet.str() + stage_table(rows, Stream::kErr) + "\n");
    return {};
  }

  Status run() {
    if (starts_over()) NARU_TRY(set_later_aside());
    Json stages = Json::array();
    Json last;
    Status ended;
    for (size_t i = 0; i < pipeline_.stages.size() && ended.ok(); ++i) {
      ended = run_stage(i, &last);
      if (last.is_object()) last["stage"] = pipeline_.stages[i].text.name;
      if (last.is_object()) stages.push_back(last);
      if (last.contains("weights_sha256")) weights_sha256_ = last.value("weights_sha256", "");
      if (!ended.ok()) ended = of_stage(pipeline_.stages[i], ended.error());
    }
    // Of a pipeline that was stopped, or failed, too; what went wrong before counts more than a page.
    const Status reported = runs::write_pipeline_report(folder_, going_on(options_));
    if (!ended.ok() && ended.error().code != Code::kCancelled) return ended;
    NARU_TRY(reported);
    NARU_TRY(options_.json ? say_json(ended.ok(), std::move(stages)) : say_end(ended.ok()));
    return ended;
  }

 private:
  bool starts_over() const { return options_.start.starts_over; }
  std::string stages_text() const {
    return fmt::format("{} stage{}", pipeline_.stages.size(), pipeline_.stages.size() == 1 ? "" : "s");
  }

  // Whoever learns from samples must not find a part of them, or other ones.
  Status check_samples() const {
    for (const Stage& stage : pipeline_.stages) {
      if (recipes::makes_model(stage.recipe.kind)) continue;
      NARU_ASSIGN(const auto record, samples::read_record(stage_folder(stage)));
      if (!record || !record->is_done()) continue;
      if (const Status whole = samples::check_files(stage_folder(stage), *record); !whole.ok()) {
        return of_stage(stage, whole.error());
      }
    }
    return {};
  }

  // There is nothing to learn where the stage before kept none of its answers.
  Status check_kept(const Stage& stage) const {
    for (const recipes::StageInput& input : stage.inputs) {
      if (input.kind != recipes::InputKind::kSamples) continue;
      const Stage& from = pipeline_.stages[input.stage];
      NARU_ASSIGN(const auto record, samples::read_record(stage_folder(from)));
      if (!record || !record->is_done() || record->kept > 0) continue;
      return Error{
          Code::kInvalidArgument,
          fmt::format("reading the samples of stage {0}: it kept none of its answers to {1} problem{2}, one at "
                      "least was wanted; {3} has them with their reasons: train its model longer, or loosen "
                      "rejection.* of that stage, and begin all stages anew with --start-over",
                      from.text.name, record->problems, record->problems == 1 ? "" : "s",
                      one_line((stage_folder(from) / runs::kDroppedFile).string()))};
    }
    return {};
  }

  // What stages began from, as the folder remembers it; what has changed since is refused.
  Status read_record() {
    NARU_ASSIGN(auto record, runs::read_pipeline_record(folder_));
    for (size_t i = 0; record && !starts_over() && i < record_.stages.size(); ++i) {
      std::vector<runs::InputRecord>& inputs = record_.stages[i].inputs;
      for (size_t k = 0; k < std::min(inputs.size(), record->stages[i].inputs.size()); ++k) {
        inputs[k].sha256 = record->stages[i].inputs[k].sha256;
      }
    }
    for (size_t i = 0; i < pipeline_.stages.size(); ++i) {
      if (const Status status = check_inputs(i, false); !status.ok())
        return of_stage(pipeline_.stages[i], status.error());
    }
    return {};
  }

  Result<StageRow> plan_stage(size_t index, Json& plans) {
    const Stage& stage = pipeline_.stages[index];
    const runs::StageRecord& record = record_.stages[index];
    NARU_ASSIGN(auto run, runs::stage_run(stage_folder(stage)));
    if (starts_over()) run.reset();
    const bool was_done = run && run->status == "done" && (record.makes_samples() || !run->weights_sha256.empty());
    was_done_.push_back(was_done);
    StageRow row{.name = stage.text.name,
                 .kind = record.kind,
                 .takes = runs::inputs_text(record.inputs),
                 .state = runs::state_text({.record = record, .run = run}),
                 .seconds = run ? run->seconds : 0,
                 .planned = "",
                 .is_done = was_done};
    if (was_done) return row;
    if (const Status kept = starts_over() ? Status() : check_kept(stage); !kept.ok())
      return of_stage(stage, kept.error());
    const recipes::Recipe planned = planned_recipe(pipeline_, index);
    const Status status =
        record.makes_samples() ? plan_samples(stage, planned, row, plans) : plan_training(stage, planned, row, plans);
    if (!status.ok()) return of_stage(stage, status.error());
    return row;
  }

  Status plan_training(const Stage& stage, const recipes::Recipe& planned, StageRow& row, Json& plans) {
    train::TrainerEvents events;
    events.should_give_up = [] { return is_interrupted(); };
    events.progress = shown_in(bars_);
    NARU_ASSIGN(const train::TrainingPlan plan, train::Trainer::plan_run(planned, stage.folder, chip_, events));
    NARU_TRY(train::check_fits(plan));
    row.planned = planned_text(stage, plan);
    plans.push_back({{"stage", stage.text.name}, {"plan", plan_json(plan)}});
    return {};
  }

  Status plan_samples(const Stage& stage, const recipes::Recipe& planned, StageRow& row, Json& plans) {
    samples::SampleEvents events;
    events.should_stop = [] { return is_interrupted(); };
    events.prompts = [this](int64_t done, int64_t total) {
      bars_.update("prompts", Progress::Unit::kSteps, done, total);
    };
    NARU_ASSIGN(const samples::SamplePlan plan, samples::Sampler::plan_run(planned, stage.folder, chip_, events));
    row.planned = fmt::format("{} problem{}, {} answer{} to each, {} parameters", grouped(plan.n_problems),
                              plan.n_problems == 1 ? "" : "s", plan.answers, plan.answers == 1 ? "" : "s",
                              grouped(plan.n_parameters));
    plans.push_back({{"stage", stage.text.name}, {"plan", sample_plan_json(plan)}});
    return {};
  }

  // None of the old runs is to be gone on with where this start ends early: those of later stages go first, from the
  // last on, so that what is left at any moment fits together. The first stage's goes when its new run begins.
  Status set_later_aside() {
    for (size_t i = pipeline_.stages.size(); i-- > 1;) {
      const Stage& stage = pipeline_.stages[i];
      const auto aside = runs::set_run_aside(stage_folder(stage));
      if (!aside.ok()) return of_stage(stage, aside.error());
      if (aside->empty() || options_.json) continue;
      say_dimmed(fmt::format("what was in stage {} is set aside in {}", stage.text.name, aside->string()));
    }
    return {};
  }

  // Whether a stage that has begun did so from what the others have now. Before any work `is_begin` is false: what
  // stages will have again that are not done is not known yet.
  Status check_inputs(size_t index, bool is_begin) {
    const Stage& stage = pipeline_.stages[index];
    NARU_ASSIGN(const auto own, runs::stage_run(stage_folder(stage)));
    for (runs::InputRecord& input : record_.stages[index].inputs) {
      const bool is_samples = input.kind == recipes::InputKind::kSamples;
      NARU_ASSIGN(const std::string now, runs::stage_output_sha256(folder_ / input.stage, is_samples));
      const bool is_known = own && !input.sha256.empty() && !starts_over();
      if (is_known && input.sha256 != now && (is_begin || !now.empty())) {
        return Error{Code::kInvalidArgument,
                     fmt::format("going on with {}: it began from the {} {} of stage {}, which has {} now, the same "
                                 "were wanted; bring the old {} back, move this run away and the stage is trained "
                                 "anew, or begin all stages anew with --start-over",
                                 stage_folder(stage).string(), is_samples ? "samples" : "weights", input.sha256,
                                 input.stage, now.empty() ? "none" : now, is_samples ? "samples" : "model")};
      }
      if (is_begin) input.sha256 = now;
    }
    return {};
  }

  Status run_stage(size_t index, Json* result) {
    const Stage& stage = pipeline_.stages[index];
    NARU_TRY(check_inputs(index, true));
    NARU_TRY(check_kept(stage));
    NARU_TRY(runs::write_pipeline_record(folder_, record_));
    NARU_TRY(evaluated(evaluation_->evaluate_start(index, chip_, !options_.json && !was_done_[index])));
    const size_t n = pipeline_.stages.size();
    if (!options_.json && !was_done_[index]) {
      say_dimmed(fmt::format("stage {} of {}", index + 1, n));
    }
    *result = nullptr;
    const TrainPart part{
        .was_done = was_done_[index], .is_last = index + 1 == n, .result = options_.json ? result : nullptr};
    NARU_TRY(train_recipe(options_, stage.recipe, stage.folder, chip_, part));
    NARU_TRY(evaluated(evaluation_->evaluate_stage(index, chip_, !options_.json && !part.was_done)));
    if (!options_.json && !part.is_last && !part.was_done) NARU_TRY(write_out("\n"));
    return {};
  }

  // A run that is stopped says itself how it goes on.
  Status evaluated(const Status& status) const {
    if (!status.ok() && status.error().code == Code::kCancelled && !options_.json) {
      NARU_TRY(
          write_out(fmt::format("stopped while problems were asked\ngo on    {}\n", one_line(going_on(options_)))));
    }
    return status;
  }

  Status say_end(bool is_done) const {
    const bool was_done = is_done && std::find(was_done_.begin(), was_done_.end(), false) == was_done_.end();
    std::string text;
    if (was_done) {
      text = fmt::format("this pipeline is done: nothing is left of its {}\n", stages_text());
      NARU_ASSIGN(const std::string model, model_rows());
      text += model;
    }
    const std::string table = scores_table(evaluation_->scores());
    if (!table.empty()) text += "\n" + table;
    const std::string report = one_line((folder_ / runs::kReportFile).string());
    if (is_done) text += fmt::format("\nreport    {}\n", report);
    return write_out(text);
  }

  // Of the last stage that made a model: what it is, where, and how to try it.
  Result<std::string> model_rows() const {
    const auto last = std::find_if(pipeline_.stages.rbegin(), pipeline_.stages.rend(),
                                   [](const Stage& stage) { return recipes::makes_model(stage.recipe.kind); });
    if (last == pipeline_.stages.rend()) return std::string();
    const fs::path folder = stage_folder(*last);
    NARU_ASSIGN(const std::string sha256, runs::stage_output_sha256(folder, false));
    return fmt::format("weights   {}\nmodel     {}\ntry       {}\n", sha256,
                       one_line((folder / runs::kModelFolder).string()), how_to_try(last->recipe, folder));
  }

  Status say_json(bool is_done, Json stages) const {
    Json json = {{"done", is_done}, {"folder", folder_.string()}, {"stages", std::move(stages)}};
    if (is_done) json["weights_sha256"] = weights_sha256_;
    json["report"] = (folder_ / runs::kReportFile).string();
    if (!evaluation_->is_empty()) {
      json["models"] = runs::scores_json(evaluation_->scores());
      json["not_improved"] = runs::what_did_not_improve(evaluation_->scores());
    }
    return write_out(json_text(json));
  }

  const TrainOptions& options_;
  Pipeline pipeline_;
  contract::Chip& chip_;
  fs::path folder_;
  runs::PipelineRecord record_;
  std::optional<PipelineEvaluation> evaluation_;  // of pipeline_, from plan() on
  std::vector<bool> was_done_;
  ProgressBars bars_;           // while it is planned
  std::string weights_sha256_;  // of the last model
};

}  // namespace

Status train_pipeline(const TrainOptions& options) {
  NARU_ASSIGN(Pipeline pipeline, pipeline_of(options));
  NARU_ASSIGN(const TrainChip chip, make_train_chip(options.machine, options.chip));
  PipelineRun run(options, std::move(pipeline), *chip.chip);
  NARU_TRY(run.plan());
  return options.plan_only ? Status() : run.run();
}

}  // namespace naru::cli
