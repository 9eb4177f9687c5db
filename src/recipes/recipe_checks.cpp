#include "recipes/recipe_checks.h"

#include <fmt/format.h>

#include <algorithm>

namespace naru::recipes {
namespace {

Status check_length(const Recipe& r, const PlaceOfKey& where) {
  if (r.kind == RunKind::kRejection) return {};  // it has no steps
  if (r.steps > 0 && r.epochs > 0) {
    return clash(where("epochs"), fmt::format("steps is {} and epochs is {}", r.steps, r.epochs),
                 "exactly one of them above 0", "set the other to 0");
  }
  if (r.steps == 0 && r.epochs == 0) {
    return clash(where("steps"), "neither steps nor epochs is given", "exactly one of them above 0",
                 "write steps = 1000, or epochs = 1, at the top");
  }
  const ScheduleRecipe& s = r.schedule;
  if (s.kind == "wsd" && s.decay_steps == 0) {
    return clash(where("schedule.kind"), "schedule.kind is wsd and schedule.decay_steps is 0",
                 "at least one step of decay", "set schedule.decay_steps, a tenth to a fifth of all steps is usual");
  }
  if (s.kind != "wsd" && s.decay_steps > 0) {
    return clash(where("schedule.decay_steps"),
                 fmt::format("schedule.decay_steps is {} and schedule.kind is {}", s.decay_steps, s.kind),
                 "decay_steps with kind wsd only", "set schedule.kind = \"wsd\", or decay_steps = 0");
  }
  if (r.steps > 0 && s.warmup_steps + s.decay_steps > r.steps) {
    const bool decays = s.decay_steps > 0;  // with kind wsd only
    return clash(where("schedule.warmup_steps"),
                 decays
                     ? fmt::format("schedule.warmup_steps {} and schedule.decay_steps {} are together above steps {}",
                                   s.warmup_steps, s.decay_steps, r.steps)
                     : fmt::format("schedule.warmup_steps {} is above steps {}", s.warmup_steps, r.steps),
                 "a schedule that fits the run",
                 fmt::format("shorten the warm-up{}, or train longer", decays ? " or the decay" : ""));
  }
  return {};
}

Status check_model(const Recipe& r, const PlaceOfKey& where) {
  const ModelRecipe& m = r.model;
  if (m.path.empty() == m.config.empty()) {
    const bool has_both = !m.path.empty();
    return clash(where(has_both ? "model.config" : "model.path"),
                 fmt::format("{} of model.path and model.config given", has_both ? "both are" : "none is"),
                 "exactly one", "path goes on from a checkpoint, config begins a new model");
  }
  if (!m.config.empty() && m.tokenizer.empty()) {
    return clash(where("model.config"), "model.config begins a new model and model.tokenizer is not given",
                 "a folder with tokenizer.json",
                 "set model.tokenizer; `naru data RECIPE --train-tokenizer FOLDER` makes one from the recipe's data");
  }
  return {};
}

Status check_sources(std::string_view section, const std::vector<SourceRecipe>& sources, const PlaceOfKey& where) {
  for (size_t i = 0; i < sources.size(); ++i) {
    const SourceRecipe& s = sources[i];
    const std::string name = fmt::format("{}.{}", section, i);
    const std::string source = where(fmt::format("{}.path", section));
    if (s.path.empty() == s.generator.empty()) {
      return clash(
          source,
          fmt::format("{} has {}", name, s.path.empty() ? "no path and no generator" : "both a path and a generator"),
          "exactly one of path and generator", "give one of them");
    }
    if (s.generator.empty() && (s.documents > 0 || !s.language.empty() || !s.trace.empty() || s.numbers > 0)) {
      return clash(source, fmt::format("{} has a path and one of documents, language, trace and numbers", name),
                   "these keys with a generator only", "remove them");
    }
    if (!s.language.empty() && s.generator == "digits") {
      return clash(source, fmt::format("{} has language \"{}\" and generator \"{}\"", name, s.language, s.generator),
                   "a language with word_problems and countdown only", "remove the language");
    }
    if (s.trace == "think" && s.generator == "digits") {
      return clash(source, fmt::format("{} has trace \"think\" and generator \"digits\"", name),
                   "that trace with word_problems and countdown only", "set trace to short, long or mixed");
    }
    if (s.numbers > 0 && (s.generator != "countdown" || s.numbers < 3)) {
      return clash(source, fmt::format("{} has numbers {} and generator \"{}\"", name, s.numbers, s.generator),
                   "numbers of 3 or 4 with countdown only", "correct it, or remove the line");
    }
  }
  return {};
}

Status check_held_out(const Recipe& r, const PlaceOfKey& where) {
  const bool asks = has_rollouts(r.kind);
  if (!asks && r.validate.samples != ValidateRecipe{}.samples) {
    return clash(where("validate.samples"),
                 fmt::format("validate.samples is given and kind is {}", run_kind_name(r.kind)),
                 "that key with kind grpo or distill only", "remove the line");
  }
  const bool has_problems =
      std::ranges::any_of(r.validation, [asks](const SourceRecipe& s) { return asks || !s.generator.empty(); });
  for (const auto& [key, is_given] : {std::pair{"problems", r.validate.problems != ValidateRecipe{}.problems},
                                      {"samples", r.validate.samples != ValidateRecipe{}.samples}}) {
    if (has_problems || !is_given) continue;
    return clash(where(fmt::format("validate.{}", key)),
                 fmt::format("validate.{} is given and no [[validation]] has problems", key),
                 "that key with held-out problems only",
                 fmt::format("write [[validation]] with a generator{}, or remove the line",
                             asks ? " or a file of problems" : ""));
  }
  return {};
}

}  // namespace

Error clash(const std::string& place, std::string_view found, std::string_view wanted, std::string_view next) {
  return {Code::kInvalidArgument, fmt::format("{}: {}, {} was wanted; {}", place, found, wanted, next)};
}

Status check_together(const Recipe& r, const PlaceOfKey& where) {
  NARU_TRY(check_length(r, where));
  NARU_TRY(check_model(r, where));
  if (r.data.empty()) {
    return clash(where("data"), "there is no [[data]]", "at least one source of documents",
                 "write [[data]] and under it path = \"FILE\" or generator = \"word_problems\"");
  }
  NARU_TRY(check_sources("data", r.data, where));
  NARU_TRY(check_sources("validation", r.validation, where));
  NARU_TRY(check_rejection(r, where));
  NARU_TRY(check_held_out(r, where));
  NARU_TRY(check_rollouts(r, where));
  NARU_TRY(check_rewards(r, where));
  if (r.batch.micro_rows > r.batch.rows && !has_rollouts(r.kind)) {
    return clash(where("batch.micro_rows"),
                 fmt::format("batch.micro_rows is {} and batch.rows is {}", r.batch.micro_rows, r.batch.rows),
                 "at most as many", "lower micro_rows");
  }
  if (r.guard.skip_z < r.guard.clip_z) {
    return clash(where("guard.skip_z"),
                 fmt::format("guard.skip_z is {} and guard.clip_z is {}", r.guard.skip_z, r.guard.clip_z),
                 "skip_z at least as large as clip_z", "raise skip_z or lower clip_z");
  }
  if (r.lora.rank > 0 && r.lora.targets.empty()) {
    return clash(where("lora.targets"), fmt::format("lora.rank is {} and lora.targets is empty", r.lora.rank),
                 "at least one matrix", "name the matrices, or remove the line, which is all of them");
  }
  const auto& targets = r.lora.targets;
  if (targets.size() > 1 && std::find(targets.begin(), targets.end(), kAllTargets) != targets.end()) {
    return clash(where("lora.targets"), "lora.targets names all and others", "one of the two",
                 "leave out all, or the others");
  }
  return {};
}

}  // namespace naru::recipes
