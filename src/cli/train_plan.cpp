#include "cli/train_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/memory.h"
#include "base/shown_text.h"
#include "chips/cpu/machine_limits.h"
#include "cli/interrupts.h"
#include "cli/progress.h"
#include "cli/read_as.h"
#include "cli/sheet.h"

namespace naru::cli {
namespace {

namespace fs = std::filesystem;

// Tokens of a step, and of the rollout that serves it with others, at the most.
double step_tokens(const recipes::Recipe& recipe) {
  const recipes::RolloutRecipe& rollout = recipes::rollout_of(recipe);
  const double rows = recipes::has_rollouts(recipe.kind) ? static_cast<double>(rollout.prompts * rollout.answers) /
                                                               static_cast<double>(rollout.updates)
                                                         : static_cast<double>(recipe.batch.rows);
  return rows * static_cast<double>(recipe.batch.context);
}

std::string step_text(const recipes::Recipe& recipe, const train::TrainingPlan& plan, double operations_per_s) {
  const double operations = step_operations(recipe, plan);
  return fmt::format(
      "at most {} tokens and {:.3g} x 10^12 operations, no less than {} at this machine's {:.3g} x 10^12 "
      "a second",
      grouped(static_cast<int64_t>(step_tokens(recipe))), operations / 1e12,
      format_seconds(operations / operations_per_s), operations_per_s / 1e12);
}

}  // namespace

double step_operations(const recipes::Recipe& recipe, const train::TrainingPlan& plan) {
  // A token that is written, or whose layer is computed a second time, costs a forward pass more, and teachers read it.
  const double forward = 2.0 * static_cast<double>(plan.n_active);
  const double again = (recipes::has_rollouts(recipe.kind) ? forward : 0) + (recipe.recompute ? forward : 0);
  const double taught = 2.0 * static_cast<double>(plan.teacher_parameters);
  return step_tokens(recipe) * (plan.operations_per_token + again + taught);
}

std::string plan_text(const recipes::Recipe& recipe, const train::TrainingPlan& plan, Stream stream,
                      double operations_per_s) {
  const auto parts = [](std::initializer_list<std::pair<std::string_view, int64_t>> all) {
    std::string text;
    for (const auto& [name, bytes] : all) {
      if (bytes > 0) text += fmt::format("{}{} {}", text.empty() ? "" : ", ", name, format_bytes(bytes));
    }
    return text;
  };
  Sheet sheet(stream);
  sheet.title(recipe.name, fmt::format(" · {}, {} step{}", recipes::run_kind_name(recipe.kind), grouped(plan.steps),
                                       plan.steps == 1 ? "" : "s"));
  sheet.row("parameters",
            plan.n_active == plan.n_parameters
                ? grouped(plan.n_parameters)
                : fmt::format("{}, {} active for a token", grouped(plan.n_parameters), grouped(plan.n_active)));
  const double share =
      100 * static_cast<double>(plan.n_trained) / static_cast<double>(std::max<int64_t>(1, plan.n_parameters));
  sheet.row("trained", recipe.lora.rank == 0 ? "all of them"
                                             : fmt::format("{} of them ({:.2g} %), in adapters of rank {}",
                                                           grouped(plan.n_trained), share, recipe.lora.rank));
  sheet.row("memory", format_bytes(plan.total_bytes()) + " planned");
  sheet.row("of it for", parts({{"values", plan.values_bytes},
                                {"packed matrices", plan.packed_bytes},
                                {"gradients", plan.gradient_bytes},
                                {"moments", plan.moment_bytes},
                                {"activations", plan.activation_bytes + plan.cache_bytes},
                                {"reference policy", plan.reference_bytes},
                                {"teachers", plan.teacher_bytes},
                                {"rechecks", plan.recheck_bytes},
                                {"answers", plan.rollout_bytes},
                                {"program and data", plan.program_bytes + plan.data_bytes}}));
  sheet.row("micro-batch", fmt::format("{} tokens at the most", grouped(plan.batch_tokens)));
  if (operations_per_s > 0) sheet.row("a step", step_text(recipe, plan, operations_per_s));
  for (const std::string& line : read_as(plan.data_files)) sheet.row("data read as", one_line(line));
  sheet.row("numerics id", plan.numerics_id);
  return sheet.str() + "\n";
}

Json plan_json(const train::TrainingPlan& plan) {
  return {{"parameters", plan.n_parameters}, {"trained", plan.n_trained},
          {"active", plan.n_active},         {"steps", plan.steps},
          {"bytes", plan.total_bytes()},     {"batch_tokens", plan.batch_tokens},
          {"numerics_id", plan.numerics_id}, {"data", read_as(plan.data_files)}};
}

// A plan needs no weights: of a model that is here as a config alone, that will do.
Status say_plan(const TrainOptions& options, recipes::Recipe recipe, const fs::path& folder, contract::Chip& chip) {
  end_at_first_interrupt();  // nothing is written
  const fs::path place = recipes::model_place(recipe.model, folder);
  std::error_code ignored;
  const auto has_weights = [](const fs::directory_entry& entry) { return entry.path().extension() == ".safetensors"; };
  if (!place.empty() && fs::is_directory(place, ignored) && fs::exists(place / "config.json", ignored) &&
      std::none_of(fs::directory_iterator(place, ignored), fs::directory_iterator(), has_weights)) {
    recipe.model.tokenizer = recipes::tokenizer_place(recipe.model, folder).string();
    recipe.model.config = (place / "config.json").string();
    recipe.model.path.clear();
    recipe.model.pulled_path.clear();
  }
  ProgressBars bars;
  train::TrainerEvents events;
  events.progress = shown_in(bars);
  NARU_ASSIGN(const train::TrainingPlan plan, train::Trainer::plan_run(recipe, folder, chip, events));
  bars.clear();
  const contract::ChipInfo info = chip.info();
  double peak = 0;
  if (!info.level.empty()) {
    const auto limits = cpu::measure_arithmetic(info.level, info.n_threads);
    const bool is_bf16 = recipe.compute == contract::ComputeMode::kBF16;
    if (limits.ok()) peak = is_bf16 ? limits->bf16.per_s : limits->f32.per_s;
  }
  Json json = plan_json(plan);
  json["step_operations"] = step_operations(recipe, plan);
  json["peak_operations_per_s"] = peak;
  json["available_bytes"] = plan.available_bytes;
  NARU_TRY(write_out(options.json ? json_text(json) : plan_text(recipe, plan, Stream::kOut, peak)));
  return train::check_fits(plan);
}

}  // namespace naru::cli
