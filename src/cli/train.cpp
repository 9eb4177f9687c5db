// naru train: reads the recipe, prints the plan, trains with a status line, and says where everything lies. Ctrl-C
// saves and stops; a second one stops now (the checkpoint before stays whole).
#include "cli/train.h"

#include <fmt/format.h>

#include <cerrno>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/memory.h"
#include "chips/cpu/machine_limits.h"
#include "cli/interrupts.h"
#include "cli/json_text.h"
#include "cli/open_model.h"
#include "cli/progress.h"
#include "cli/terminal.h"
#include "cli/train_status.h"

namespace naru::cli {
namespace {

namespace fs = std::filesystem;

Result<recipes::Recipe> recipe_of(const TrainOptions& options) {
  NARU_ASSIGN(recipes::Recipe recipe, recipes::read_recipe(options.recipe_path, options.overrides));
  if (options.output) recipe.output = *options.output;
  return recipe;
}

std::string plan_text(const recipes::Recipe& recipe, const train::TrainingPlan& plan) {
  const auto share = [](std::string_view name, int64_t bytes) {
    return fmt::format("{} {}", name, format_bytes(bytes));
  };
  return fmt::format(
      "{}: {} parameters, {} trained, {} active a token; {} steps; {}\n"
      "memory {}: {}, {}, {}, {}, {} ({} tokens), {}, {}\n",
      one_line(recipe.name), plan.n_parameters, plan.n_trained, plan.n_active, plan.steps, plan.numerics_id,
      format_bytes(plan.total_bytes()), share("values", plan.values_bytes), share("packed", plan.packed_bytes),
      share("gradients", plan.gradient_bytes), share("moments", plan.moment_bytes),
      share("activations", plan.activation_bytes + plan.cache_bytes), plan.batch_tokens,
      share("answers", plan.rollout_bytes), share("program and data", plan.program_bytes + plan.data_bytes));
}

Json plan_json(const train::TrainingPlan& plan) {
  return {{"parameters", plan.n_parameters}, {"trained", plan.n_trained},
          {"active", plan.n_active},         {"steps", plan.steps},
          {"bytes", plan.total_bytes()},     {"batch_tokens", plan.batch_tokens},
          {"numerics_id", plan.numerics_id}};
}

// A word as a shell reads it back; lines inside it as bash, zsh and ksh read them.
std::string shell_word(std::string_view word) {
  constexpr std::string_view kPlain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./+:@%";
  if (!word.empty() && word.find_first_not_of(kPlain) == std::string_view::npos) return std::string(word);
  const bool has_lines = word.find('\n') != std::string_view::npos;
  std::string quoted = has_lines ? "$'" : "'";
  for (const char c : word) {
    if (c == '\'') {
      quoted += has_lines ? "\\'" : "'\\''";
    } else if (has_lines && (c == '\n' || c == '\\')) {
      quoted += c == '\n' ? "\\n" : "\\\\";
    } else {
      quoted += c;
    }
  }
  return quoted + "'";
}

// The first sample prompt, where it is short and its lines hold nothing that a terminal acts upon.
std::string prompt_to_try(const recipes::Recipe& recipe) {
  if (recipe.sample.prompts.empty()) return "";
  const std::string& prompt = recipe.sample.prompts.front();
  constexpr size_t kBytesMax = 160;
  const std::string word = " " + shell_word(prompt);
  return prompt.empty() || prompt.size() > kBytesMax || prompt[0] == '-' || one_line(word) != word ? "" : word;
}

// What follows `naru train R &&` must not go on with a run that is not done: stopping as asked is a status of its own.
Status say_result(const TrainOptions& options, const recipes::Recipe& recipe, const train::Trainer& trainer,
                  const train::RunResult& result) {
  const fs::path& folder = trainer.folder();
  const Status ended = result.is_done ? Status() : Status(Error{Code::kCancelled, ""});
  if (options.json) {
    Json json = {{"done", result.is_done},
                 {"step", result.step},
                 {"loss", result.loss},
                 {"folder", folder.string()},
                 {"plan", plan_json(trainer.plan())},
                 {"peak_bytes", peak_resident_bytes()}};
    if (result.validation_loss) json["validation_loss"] = *result.validation_loss;
    if (result.accuracy) json["accuracy"] = *result.accuracy;
    if (!result.weights_sha256.empty()) json["weights_sha256"] = result.weights_sha256;
    NARU_TRY(write_out(json_text(json)));
    return ended;
  }
  std::string text =
      fmt::format("{} after {} steps: loss {:.4f}", result.is_done ? "done" : "stopped", result.step, result.loss);
  if (result.validation_loss) text += fmt::format(", validation {:.4f}", *result.validation_loss);
  if (result.accuracy) text += fmt::format(", {:.1f} % of held-out problems right", 100 * *result.accuracy);
  text += '\n';
  if (result.is_done) {
    text += fmt::format("weights {}\nmodel   {}\nreport  {}\ntry     {} run {}{}\n", result.weights_sha256,
                        one_line((folder / "model").string()), one_line((folder / "report.html").string()),
                        shell_word(program_invocation_name), shell_word((folder / "model").string()),
                        prompt_to_try(recipe));
  }
  NARU_TRY(write_out(text));
  return ended;
}

}  // namespace

Status train_command(const TrainOptions& options) {
  NARU_ASSIGN(const recipes::Recipe recipe, recipe_of(options));
  NARU_ASSIGN(const auto chip, make_chip(options.machine));
  TrainStatus status;
  double peak = 0;
  train::TrainerEvents events;
  events.note = [&status](std::string_view text) { status.note(text); };
  events.should_stop = [] { return is_interrupted(); };
  events.step = [&](const train::StepReport& r) {
    status.update({.step = r.step,
                   .steps = r.steps,
                   .loss = r.loss,
                   .lr = r.lr,
                   .grad_norm = r.grad_norm,
                   .tokens_per_s = r.tokens_per_s,
                   .peak_share = peak > 0 ? r.flops_per_s / peak : 0,
                   .seconds_left = r.seconds_left,
                   .memory_bytes = r.memory_bytes});
  };
  const fs::path folder = fs::absolute(fs::path(options.recipe_path)).parent_path();
  NARU_ASSIGN(const auto trainer, train::Trainer::open(recipe, folder, *chip, events, options.start));
  if (!options.json) write_err(plan_text(recipe, trainer->plan()));
  const contract::ChipInfo info = chip->info();
  if (!info.level.empty() && !options.json) {
    const auto limits = cpu::measure_arithmetic(info.level, info.n_threads);
    if (limits.ok()) peak = recipe.compute == contract::ComputeMode::kBF16 ? limits->bf16.per_s : limits->f32.per_s;
  }
  auto result = trainer->run();
  status.clear();
  if (!result.ok()) return result.error();
  if (options.machine.explain) write_err(kernel_table(*chip));
  return say_result(options, recipe, *trainer, *result);
}

Command make_train() {
  auto o = std::make_shared<TrainOptions>();
  Command c{
      .name = "train",
      .summary = "trains a model as a recipe says",
      .description =
          "Runs a recipe (docs/recipes.md): pretraining from nothing, fine-tuning, or adapters. The folder of the run "
          "holds checkpoints, metrics, samples, TensorBoard events, a report, and at the end the model. Run again "
          "after any interruption, it goes on by itself and ends with the same bits; a start that is no going on (a "
          "checkpoint that cannot be read, other data) is refused and changes nothing."};
  c.arguments = {{"RECIPE", "a .toml file", true,
                  [o](const Given& given) -> Status {
                    o->recipe_path = given.text;
                    return {};
                  }},
                 {"KEY=VALUE", "other values for keys of the recipe, as optimizer.lr=3e-4", false,
                  [o](const Given& given) -> Status {
                    o->overrides.push_back(given.text);
                    return {};
                  },
                  true}};
  c.flags = {{"out", "FOLDER", kGroupInput, "the folder of the run; default: the recipe's output, else runs/NAME",
              [o](const Given& given) -> Status {
                o->output = given.text;
                return {};
              },
              0, false, false},
             {"start-over", "", kGroupInput,
              "begins at step 0; what is in the folder of the run is set aside in a folder set-aside-N of it",
              [o](const Given&) -> Status {
                o->start.starts_over = true;
                return {};
              },
              0, false, false},
             {"accept-changed-data", "", kGroupInput,
              "goes on though the data is not what the run began with; its record and report will say so",
              [o](const Given&) -> Status {
                o->start.accepts_changed_data = true;
                return {};
              },
              0, false, false},
             threads_flag(&o->machine.threads),
             chip_flag(&o->machine.chip),
             {"explain", "", kGroupMachine, "at the end, which kernels ran and how often",
              [o](const Given&) -> Status {
                o->machine.explain = true;
                return {};
              }},
             {"json", "", kGroupOutput, "the result as one JSON object on standard output",
              [o](const Given&) -> Status {
                o->json = true;
                return {};
              },
              0, false, false}};
  c.examples = {{"naru train recipes/pretrain-tiny-moe.toml", "Trains a small model with experts from nothing."},
                {"naru train recipe.toml steps=100 optimizer.lr=1e-3", "The same recipe with other values."}};
  c.has_recipe = true;
  c.run = [o] { return train_command(*o); };
  return c;
}

}  // namespace naru::cli
