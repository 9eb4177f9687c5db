// naru train: reads the recipe, prints the plan, trains with a status line, and says where everything lies. Ctrl-C
// saves and stops; a second one stops now (the checkpoint before stays whole).
#include "cli/train.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/memory.h"
#include "base/shown_text.h"
#include "chips/cpu/machine_limits.h"
#include "cli/find_model.h"
#include "cli/flag_values.h"
#include "cli/interrupts.h"
#include "cli/json_text.h"
#include "cli/open_model.h"
#include "cli/progress.h"
#include "cli/sample.h"
#include "cli/sheet.h"
#include "cli/shell_word.h"
#include "cli/train_pipeline.h"
#include "cli/train_plan.h"
#include "cli/train_status.h"
#include "cli/version.h"
#include "recipes/pipeline.h"

namespace naru::cli {
namespace {

namespace fs = std::filesystem;

Result<recipes::Recipe> recipe_of(const TrainOptions& options) {
  if (options.recipe_path.ends_with(".gguf") || options.recipe_path.ends_with(".safetensors")) {
    return Error{Code::kInvalidArgument,
                 fmt::format("reading {}: it is a model, a recipe (a TOML file) was wanted; name "
                             "the model in one, as model.path",
                             options.recipe_path)};
  }
  NARU_ASSIGN(recipes::Recipe recipe, recipes::read_recipe(options.recipe_path, options.overrides));
  if (options.output) recipe.output = *options.output;
  return recipe;
}

// The first sample prompt, where it is short and its lines hold nothing that a terminal acts upon.
std::string prompt_to_try(const recipes::Recipe& recipe) {
  if (recipe.sample.prompts.empty()) return "";
  const std::string& prompt = recipe.sample.prompts.front();
  constexpr size_t kBytesMax = 160;
  const std::string word = " " + shell_word(prompt);
  return prompt.empty() || prompt.size() > kBytesMax || prompt[0] == '-' || one_line(word) != word ? "" : word;
}

}  // namespace

std::string how_to_try(const recipes::Recipe& recipe, const fs::path& folder) {
  return fmt::format("{} run {}{}", shell_word(program_invocation_name), shell_word((folder / "model").string()),
                     prompt_to_try(recipe));
}

// The command that was given, without what is for one start.
std::string going_on(const TrainOptions& options) {
  std::string text = shell_word(program_invocation_name) + " train " + shell_word(options.recipe_path);
  for (const std::string& override_text : options.overrides) text += " " + shell_word(override_text);
  if (options.output) text += " --out " + shell_word(*options.output);
  if (options.machine.threads > 0) text += fmt::format(" --threads {}", options.machine.threads);
  if (options.machine.chip != ModelOptions().chip) text += " --chip " + shell_word(options.machine.chip);
  return text + options.chip.flags();
}

namespace {

// Of a run with rollouts: what was reached, from the first rollout and the first held-out problems to the last.
std::string reached_rows(const TrainCurves& curves, int64_t n_problems) {
  std::string text;
  const auto put = [&text](std::string_view name, const std::string& value) {
    if (!value.empty()) text += fmt::format("{:<9} {}\n", name, value);
  };
  const auto climb = [&curves](const std::string& name, const auto& shown) {
    const auto first = curves.first(name), last = curves.last(name);
    if (!first || !last) return std::string();
    return curves.of(name).size() > 1 ? fmt::format("{} → {}", shown(*first), shown(*last)) : shown(*last);
  };
  const auto share = [](double value) { return fmt::format("{:.1f} %", 100 * value); };
  const auto number = [](double value) { return fmt::format("{:.3f}", value); };
  put("distance", climb("reverse_kl", number));
  put("reward", climb("reward", number));
  std::string held_out = climb("accuracy", share);
  if (!held_out.empty()) held_out += fmt::format(" of {} problems right", grouped(n_problems));
  if (const std::string drawn = climb("pass_1", share); !drawn.empty()) held_out += "; drawn: " + drawn;
  const int64_t k = curves.pass_k();
  if (k > 0) held_out += fmt::format("; one of {}: {}", k, climb(fmt::format("pass_{}", k), share));
  put("held-out", held_out);
  put("answers", climb("answer_tokens", [](double value) { return fmt::format("{:.1f} tokens", value); }));
  // One that differs ends the run.
  if (const auto compared = curves.last("tokens_compared_total"); compared && *compared > 0) {
    const std::string n = grouped(static_cast<int64_t>(*compared));
    put("bit-equal", fmt::format("yes: {} of {} log-probabilities of the rollouts are the trainer's", n, n));
  }
  return text;
}

// What was put in front of the chip, and what it did in this start.
std::string fault_words(const std::string& fault, const check::FaultyChip* faulty) {
  if (faulty == nullptr) return fmt::format("was put in front of the chip in an earlier start: {}", fault);
  const int64_t n = faulty->n_faults();
  const std::string ops = n == 0 ? "no op" : fmt::format("{} op{}", grouped(n), n == 1 ? "" : "s");
  return fmt::format("was put in front of the chip: {}; it changed {} in this start", fault, ops);
}

// What follows `naru train R &&` must not go on with a run that is not done: stopping as asked is a status of its own.
Status say_result(const TrainOptions& options, const recipes::Recipe& recipe, const train::Trainer& trainer,
                  const train::RunResult& result, const TrainCurves& curves, const TrainPart& part) {
  const fs::path& folder = trainer.folder();
  const Status ended = result.is_done ? Status() : Status(Error{Code::kCancelled, ""});
  if (part.was_done && !options.json) return ended;
  if (options.json) {
    Json json = {{"done", result.is_done},
                 {"step", result.step},
                 {"loss", result.loss ? Json(*result.loss) : Json(nullptr)},
                 {"folder", folder.string()},
                 {"plan", plan_json(trainer.plan())},
                 {"peak_bytes", peak_resident_bytes()}};
    if (result.reward) json["reward"] = *result.reward;
    if (result.validation_loss) json["validation_loss"] = *result.validation_loss;
    if (result.accuracy) json["accuracy"] = *result.accuracy;
    if (result.reward_failures > 0) json["reward_failures"] = result.reward_failures;
    if (result.accuracy) json["problems"] = result.n_problems;
    if (result.tokens_compared) json["tokens_compared"] = *result.tokens_compared;
    if (const auto before = curves.first("reward")) json["reward_at_first"] = *before;
    if (const auto before = curves.first("accuracy")) json["accuracy_at_first"] = *before;
    if (result.recheck_differences > 0) json["recheck_differences"] = result.recheck_differences;
    if (!result.fault.empty()) json["fault"] = result.fault;
    if (part.faulty != nullptr) json["ops_changed"] = part.faulty->n_faults();
    if (!result.weights_sha256.empty()) json["weights_sha256"] = result.weights_sha256;
    if (part.result == nullptr) NARU_TRY(write_out(json_text(json)));
    if (part.result != nullptr) *part.result = std::move(json);
    return ended;
  }
  const int64_t steps = trainer.plan().steps;
  std::string text = result.is_done ? fmt::format("done after {} step{}", grouped(steps), steps == 1 ? "" : "s")
                                    : fmt::format("stopped after {} of {} steps", grouped(result.step), grouped(steps));
  std::string values;
  const auto add = [&values](const std::string& value) { values += (values.empty() ? ": " : ", ") + value; };
  const bool has_rollouts = recipes::has_rollouts(recipe.kind);
  if (result.loss) add(fmt::format("loss {:.4f}", *result.loss));
  if (result.validation_loss) add(fmt::format("validation {:.4f}", *result.validation_loss));
  if (result.accuracy && !has_rollouts) {
    add(fmt::format("{:.1f} % of {} held-out problems right", 100 * *result.accuracy, grouped(result.n_problems)));
  }
  text = indented(text + values, 0, 2);
  if (has_rollouts) text += reached_rows(curves, result.n_problems);
  const auto row = [&text, has_rollouts](std::string_view name, const std::string& value) {
    text += fmt::format("{:<{}} {}\n", name, has_rollouts ? 9 : 8, value);
  };
  if (result.is_done) row("weights", result.weights_sha256);
  if (result.recheck_differences > 0) {
    row("rechecks", fmt::format("{} result{} of this chip came out otherwise a second time, and counted for nothing",
                                grouped(result.recheck_differences), result.recheck_differences == 1 ? "" : "s"));
  }
  if (!result.fault.empty()) row("a fault", fault_words(result.fault, part.faulty));
  if (result.reward_failures > 0) {
    row("caution", fmt::format("{} answer{} had no reward of a program (reward_failures): these weights are not "
                               "reproducible",
                               grouped(result.reward_failures), result.reward_failures == 1 ? "" : "s"));
  }
  if (result.is_done) row("model", one_line((folder / "model").string()));
  row("report", one_line((folder / "report.html").string()));
  if (result.is_done && part.is_last) {
    row("try", how_to_try(recipe, folder));
  } else if (!result.is_done) {
    row("go on", one_line(going_on(options)));
  }
  NARU_TRY(write_out(text));
  return ended;
}

// A rollout serves several steps: what it was like is said until the next.
TrainProgress progress_of(const train::StepReport& r, const TrainCurves& curves) {
  const TrainCurves::Points& judged = curves.of("accuracy");
  return {.step = r.step,
          .steps = r.steps,
          .loss = r.loss,
          .lr = r.lr,
          .grad_norm = r.grad_norm,
          .tokens_per_s = r.tokens_per_s,
          .peak_share = r.peak_share,
          .seconds_left = r.seconds_left,
          .memory_bytes = r.memory_bytes,
          .recheck_differences = r.recheck_differences,
          .reward = curves.last("reward"),
          .reverse_kl = curves.last("reverse_kl"),
          .answer_tokens = curves.last("answer_tokens"),
          .rollout_tokens_per_s = curves.last("rollout_tokens_per_s"),
          .update_tokens_per_s = curves.last("update_tokens_per_s"),
          .accuracy = curves.last("accuracy"),
          .accuracy_step = judged.empty() ? std::nullopt : std::optional(judged.back().first)};
}

}  // namespace

namespace {

// A recipe that trains nothing.
Status run_rejection(const TrainOptions& options, const recipes::Recipe& recipe, const fs::path& folder,
                     contract::Chip& chip, const TrainPart& part) {
  if (options.start.accepts_changed_data) {
    return Error{
        Code::kInvalidArgument,
        fmt::format("reading {}: --accept-changed-data was given and its kind is rejection, whose lines are of "
                    "one set of problems alone; give the run another --out, or begin anew with --start-over",
                    options.recipe_path)};
  }
  const samples::SampleStart start{.starts_over = options.start.starts_over,
                                   .version = version_line().substr(std::string_view("naru ").size()),
                                   .command = going_on(options)};
  return run_samples(
      recipe, folder, chip, start,
      {.json = options.json, .plan_only = options.plan_only, .explain = options.machine.explain, .part = part});
}

}  // namespace

Status train_recipe(const TrainOptions& options, const recipes::Recipe& recipe, const fs::path& folder,
                    contract::Chip& chip, const TrainPart& part) {
  if (recipe.kind == recipes::RunKind::kRejection) return run_rejection(options, recipe, folder, chip, part);
  TrainStatus status;
  ProgressBars bars;  // until the run is open
  train::TrainerEvents events;
  events.note = [&status, &bars, &part](std::string_view text) {
    bars.clear();
    if (!part.was_done) status.note(text);
  };
  events.progress = shown_in(bars);
  bool is_stopping = false;
  events.should_give_up = [&] {
    // What Ctrl-C is answered with stands below the line by now.
    if (is_interrupted() && !std::exchange(is_stopping, true)) status.let_be();
    return is_interrupted();
  };
  events.should_stop = events.should_give_up;
  TrainCurves curves;
  if (recipes::has_rollouts(recipe.kind)) {
    events.metrics = [&curves](const runs::Metrics& m) { curves.add(m.step, m.values); };
    status.show_curves(curves);
  }
  events.step = [&](const train::StepReport& r) { status.update(progress_of(r, curves)); };
  if (part.faulty != nullptr) {
    // A start that goes on draws anew: what it met in the last one it need not meet again.
    events.opened = [faulty = part.faulty](int64_t n_starts, int64_t step) {
      faulty->begin(static_cast<uint64_t>(n_starts) << 32 | static_cast<uint64_t>(step));
    };
  }
  train::StartOptions start = options.start;
  if (options.chip.fault) start.fault = check::fault_text(*options.chip.fault);
  start.version = version_line().substr(std::string_view("naru ").size());
  start.command = going_on(options);
  const contract::ChipInfo info = chip.info();
  const bool is_bf16 = recipe.compute == contract::ComputeMode::kBF16;
  if (!info.level.empty() && !options.json) {
    start.measure_peak = [&info, is_bf16] {
      static const auto limits = cpu::measure_arithmetic(info.level, info.n_threads);  // once for all stages
      return !limits.ok() ? 0 : is_bf16 ? limits->bf16.per_s : limits->f32.per_s;
    };
  }
  NARU_ASSIGN(const auto trainer, train::Trainer::open(recipe, folder, chip, events, start));
  bars.clear();
  if (!options.json && !part.was_done) write_err(plan_text(recipe, trainer->plan()));
  say_at_interrupt("\nstopping behind this part of the step; Ctrl-C again stops at once, without a checkpoint\n");
  auto result = trainer->run();
  status.finish();
  if (!result.ok()) return result.error();
  if (options.machine.explain) write_err(kernel_table(chip));
  return say_result(options, recipe, *trainer, *result, curves, part);
}

namespace {

// Where --inject has nothing to do.
Status no_fault(const TrainOptions& options, std::string_view found) {
  if (!options.chip.fault) return {};
  return Error{Code::kInvalidArgument,
               fmt::format("reading the command line: naru train: --inject {} was given and {}; "
                           "leave it out, or give the recipe of one run",
                           check::fault_text(*options.chip.fault), found)};
}

}  // namespace

Status train_command(const TrainOptions& options) {
  if (recipes::is_pipeline(options.recipe_path)) {
    NARU_TRY(no_fault(options, "the recipe is a pipeline"));
    return train_pipeline(options);
  }
  NARU_ASSIGN(recipes::Recipe recipe, recipe_of(options));
  const fs::path folder = fs::absolute(fs::path(options.recipe_path)).parent_path();
  NARU_TRY(find_recipe_models(recipe.model, folder));
  NARU_TRY(find_recipe_teachers(recipe, folder));
  const bool is_rejection = recipe.kind == recipes::RunKind::kRejection;
  if (is_rejection) NARU_TRY(no_fault(options, "its kind is rejection, which trains nothing"));
  NARU_ASSIGN(const TrainChip chip, make_train_chip(options.machine, options.chip));
  if (options.plan_only && !is_rejection) return say_plan(options, std::move(recipe), folder, *chip.chip);
  return train_recipe(options, recipe, folder, *chip.chip, {.faulty = chip.faulty});
}

namespace {

Status check_flags(const TrainOptions& options) {
  if (!options.chip.fault) return {};
  if (options.plan_only) return no_fault(options, "--plan was given, which trains nothing");
  if (options.machine.chip == "distant") return {};
  return no_fault(options, fmt::format("the chip is {}, and a fault is put in front of the distant one alone: add "
                                       "--chip distant",
                                       options.machine.chip));
}

}  // namespace

Command make_train() {
  auto o = std::make_shared<TrainOptions>();
  Command c{
      .name = "train",
      .summary = "trains a model as a recipe says",
      .description =
          "Runs a recipe (docs/recipes.md): pretraining from nothing, fine-tuning, reinforcement learning, on-policy "
          "distillation, sampling of training data, or a pipeline of such stages; of all weights, or of adapters. The "
          "folder of the run holds checkpoints, metrics, samples, TensorBoard events, a report, and at the end the "
          "model. Run again "
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
                if (given.text.empty()) return bad_value(given, "a folder");
                o->output = given.text;
                return {};
              },
              0, false, false},
             {"start-over", "", kGroupInput,
              "begins at step 0; what is in the folder of the run is set aside in a folder set-aside-N of it",
              set_on(&o->start.starts_over), 0, false, false},
             {"accept-changed-data", "", kGroupInput,
              "goes on though the data is not what the run began with; its record and report will say so",
              set_on(&o->start.accepts_changed_data), 0, false, false},
             {"plan", "", kGroupInput,
              "prints what the run takes, and ends: nothing is trained, nothing written. The model may be a folder "
              "with config.json and the tokenizer's files alone",
              set_on(&o->plan_only), 0, false, false},
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
  c.examples = {{"naru train recipes/r1-minute.toml", "Pretraining and reinforcement learning, stage by stage."},
                {"naru train recipes/pretrain-tiny-moe.toml", "Trains a small model with experts from nothing."},
                {"naru train recipe.toml steps=100 optimizer.lr=1e-3", "The same recipe with other values."}};
  for (Flag& flag : train_chip_flags(&o->chip)) c.flags.push_back(std::move(flag));
  c.has_recipe = true;
  c.check = [o] { return check_flags(*o); };
  c.run = [o] { return run_with_patience(o->chip, o->machine.chip, [o] { return train_command(*o); }); };
  return c;
}

}  // namespace naru::cli
