#include "cli/train_pipeline.h"

#include <fmt/format.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <system_error>

#include "base/home.h"
#include "base/memory.h"
#include "base/shown_text.h"
#include "cli/chat_session.h"
#include "cli/find_model.h"
#include "cli/interrupts.h"
#include "cli/open_model.h"
#include "cli/sheet.h"
#include "cli/train_plan.h"
#include "runs/pipeline_record.h"

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

fs::path folder_of(const Stage& stage) {
  return with_home(stage.recipe.output);
}

Result<Pipeline> pipeline_of(const TrainOptions& options) {
  std::vector<std::string> overrides = options.overrides;
  if (options.output) overrides.push_back("output=" + *options.output);
  NARU_ASSIGN(Pipeline pipeline, recipes::read_pipeline(options.recipe_path, overrides));
  for (Stage& stage : pipeline.stages) {
    recipes::ModelRecipe& model = stage.recipe.model;
    const std::string named = model.path;
    if (stage.takes) model.path.clear();  // its name is a stage's and no pulled model's
    const Status found = find_recipe_models(model, stage.folder);
    if (!found.ok()) return of_stage(stage, found.error());
    model.path = named;
    if (stage.takes) model.pulled_path = fs::absolute(folder_of(pipeline.stages[*stage.takes])) / "model";
  }
  return pipeline;
}

std::string stage_line(const Stage& stage, const train::TrainingPlan& plan) {
  return fmt::format("{}{}, {} step{}, {} parameters, {} planned", recipes::run_kind_name(stage.recipe.kind),
                     stage.takes ? " from " + stage.text.takes : "", grouped(plan.steps), plan.steps == 1 ? "" : "s",
                     grouped(plan.n_parameters), format_bytes(plan.total_bytes()));
}

class PipelineRun {
 public:
  PipelineRun(const TrainOptions& options, Pipeline pipeline, contract::Chip& chip)
      : options_(options), pipeline_(std::move(pipeline)), chip_(chip), folder_(with_home(pipeline_.output)) {}

  // Everything that can be known to go wrong is said before the first stage starts.
  Status plan() {
    NARU_TRY(runs::check_pipeline_folder(pipeline_, options_.start.starts_over));
    Sheet sheet(Stream::kErr);
    sheet.title(pipeline_.name, fmt::format(" · pipeline of {} stages", pipeline_.stages.size()));
    Json plans = Json::array();
    for (size_t i = 0; i < pipeline_.stages.size(); ++i) {
      const Stage& stage = pipeline_.stages[i];
      NARU_ASSIGN(const bool was_done, is_done(stage));
      was_done_.push_back(was_done && !options_.start.starts_over);
      if (was_done_.back()) {
        sheet.row(stage.text.name, "done already");
        continue;
      }
      train::TrainerEvents events;
      events.should_give_up = [] { return is_interrupted(); };
      const auto plan = train::Trainer::plan_run(planned_recipe(pipeline_, i), stage.folder, chip_, events);
      if (!plan.ok()) return of_stage(stage, plan.error());
      if (const Status fits = train::check_fits(*plan); !fits.ok()) return of_stage(stage, fits.error());
      sheet.row(stage.text.name, stage_line(stage, *plan));
      plans.push_back({{"stage", stage.text.name}, {"plan", plan_json(*plan)}});
    }
    if (options_.plan_only) {
      return write_out(options_.json ? json_text({{"name", pipeline_.name}, {"stages", plans}}) : sheet.str() + "\n");
    }
    if (!options_.json) write_err(sheet.str() + "\n");
    return {};
  }

  Status run() {
    NARU_ASSIGN(auto record, runs::read_pipeline_record(folder_));
    record_ = runs::record_of(pipeline_);
    if (options_.start.starts_over) NARU_TRY(set_later_aside());
    for (size_t i = 0; record && !options_.start.starts_over && i < record_.stages.size(); ++i) {
      record_.stages[i].from_sha256 = record->stages[i].from_sha256;
    }
    Json stages = Json::array();
    Json last;
    Status ended;
    for (size_t i = 0; i < pipeline_.stages.size() && ended.ok(); ++i) {
      ended = run_stage(i, &last);
      if (!ended.ok() && ended.error().code != Code::kCancelled) return of_stage(pipeline_.stages[i], ended.error());
      if (last.is_object()) last["stage"] = pipeline_.stages[i].text.name;
      if (last.is_object()) stages.push_back(last);
    }
    if (options_.json) {
      Json json = {{"done", ended.ok()}, {"folder", folder_.string()}, {"stages", stages}};
      if (ended.ok()) json["weights_sha256"] = last.value("weights_sha256", "");
      NARU_TRY(write_out(json_text(json)));
    }
    return ended;
  }

 private:
  static Result<bool> is_done(const Stage& stage) {
    NARU_ASSIGN(const auto run, runs::stage_run(folder_of(stage)));
    return run && run->status == "done" && !run->weights_sha256.empty();
  }

  // None of the old runs is to be gone on with where this start ends early: those of later stages go first, from the
  // last on, so that what is left at any moment fits together. The first stage's goes when its new run begins.
  Status set_later_aside() {
    for (size_t i = pipeline_.stages.size(); i-- > 1;) {
      const Stage& stage = pipeline_.stages[i];
      const auto aside = runs::set_run_aside(folder_of(stage));
      if (!aside.ok()) return of_stage(stage, aside.error());
      if (aside->empty() || options_.json) continue;
      say_dimmed(fmt::format("what was in stage {} is set aside in {}", stage.text.name, aside->string()));
    }
    return {};
  }

  // The weights of the stage that is taken, which are those that this one began with, if it has begun.
  Status take(size_t index) {
    const Stage& stage = pipeline_.stages[index];
    std::string weights;
    if (stage.takes) {
      NARU_ASSIGN(const auto taken, runs::stage_run(folder_of(pipeline_.stages[*stage.takes])));
      weights = taken ? taken->weights_sha256 : "";
    }
    std::string& from = record_.stages[index].from_sha256;
    NARU_ASSIGN(const auto own, runs::stage_run(folder_of(stage)));
    if (own && !from.empty() && from != weights && !options_.start.starts_over) {
      return Error{
          Code::kInvalidArgument,
          fmt::format(
              "going on with {}: it began from the weights {} of stage {}, which has {} now, the same "
              "were wanted; bring the old model back, move this run away and the stage is trained anew, or begin "
              "all stages anew with --start-over",
              folder_of(stage).string(), from, stage.text.takes, weights)};
    }
    from = weights;
    return runs::write_pipeline_record(folder_, record_);
  }

  Status run_stage(size_t index, Json* result) {
    const Stage& stage = pipeline_.stages[index];
    NARU_TRY(take(index));
    const size_t n = pipeline_.stages.size();
    if (!options_.json && !was_done_[index]) {
      say_dimmed(fmt::format("stage {} of {}", index + 1, n));
    }
    *result = nullptr;
    const TrainPart part{.was_done = was_done_[index] && index + 1 < n,
                         .is_last = index + 1 == n,
                         .result = options_.json ? result : nullptr};
    const Status ended = train_recipe(options_, stage.recipe, stage.folder, chip_, part);
    if (ended.ok() && !options_.json && !part.is_last && !part.was_done) NARU_TRY(write_out("\n"));
    return ended;
  }

  const TrainOptions& options_;
  Pipeline pipeline_;
  contract::Chip& chip_;
  fs::path folder_;
  std::vector<bool> was_done_;
  runs::PipelineRecord record_;
};

}  // namespace

recipes::Recipe planned_recipe(const Pipeline& pipeline, size_t index) {
  const Stage& stage = pipeline.stages[index];
  recipes::Recipe recipe = stage.recipe;
  std::error_code ignored;
  if (!stage.takes || fs::exists(recipe.model.pulled_path / "config.json", ignored)) return recipe;
  size_t root = *stage.takes;
  while (pipeline.stages[root].takes) root = *pipeline.stages[root].takes;
  const Stage& first = pipeline.stages[root];
  const recipes::ModelRecipe& model = first.recipe.model;
  recipes::ModelRecipe& planned = recipe.model;
  planned.pulled_path.clear();
  planned.path.clear();
  if (model.config.empty()) {
    planned.path = fs::absolute(recipes::model_place(model, first.folder)).string();
  } else {
    planned.config = fs::absolute(recipes::resolved_path(model.config, first.folder)).string();
  }
  if (planned.tokenizer.empty()) {
    planned.tokenizer = fs::absolute(recipes::tokenizer_place(model, first.folder)).string();
  }
  if (planned.chat_template.empty() && !model.chat_template.empty()) {
    planned.chat_template = fs::absolute(recipes::resolved_path(model.chat_template, first.folder)).string();
  }
  if (planned.form.empty()) planned.form = model.form;
  return recipe;
}

Status train_pipeline(const TrainOptions& options) {
  NARU_ASSIGN(Pipeline pipeline, pipeline_of(options));
  NARU_ASSIGN(const auto chip, make_chip(options.machine));
  PipelineRun run(options, std::move(pipeline), *chip);
  NARU_TRY(run.plan());
  return options.plan_only ? Status() : run.run();
}

}  // namespace naru::cli
