#include <fmt/format.h>

#include <algorithm>
#include <initializer_list>
#include <tuple>

#include "recipes/recipe_checks.h"
#include "recipes/recipe_schema.h"

namespace naru::recipes {
namespace {

using PassedOver = std::tuple<std::string, bool, std::string>;  // a key, whether it is given, why it is not read

Status check_passed_over(std::initializer_list<PassedOver> keys, const PlaceOfKey& where) {
  for (const auto& [key, is_passed_over, why] : keys) {
    if (!is_passed_over) continue;
    return clash(where(key), fmt::format("{} is given for a run that does not read it: {}", key, why),
                 "only what decides the run", "remove the line");
  }
  return {};
}

// Sections of one kind of run in a recipe of another.
Status check_sections(const Recipe& r, const PlaceOfKey& where) {
  Recipe given = r, plain;
  for (const KeyRow& row : recipe_keys()) {
    if (row.section == run_kind_name(r.kind)) continue;
    const bool is_of_a_kind = row.section == run_kind_name(RunKind::kGrpo) ||
                              row.section == run_kind_name(RunKind::kDistill) ||
                              row.section == run_kind_name(RunKind::kRejection);
    if (!is_of_a_kind) continue;
    if (value_text(row.field(given, 0)) == value_text(row.field(plain, 0))) continue;
    return clash(where(row.path()), fmt::format("{} is given and kind is {}", row.path(), run_kind_name(r.kind)),
                 fmt::format("keys of [{0}] with kind {0} only", row.section),
                 fmt::format("set kind = \"{}\", or remove the section", row.section));
  }
  if (r.teacher.empty() || r.kind == RunKind::kDistill) return {};
  return clash(where("teacher.path"), fmt::format("there is [[teacher]] and kind is {}", run_kind_name(r.kind)),
               "[[teacher]] with kind distill only", "set kind = \"distill\", or remove the section");
}

Status check_problems(const Recipe& r, const PlaceOfKey& where) {
  const std::string_view kind = run_kind_name(r.kind);
  const bool has_trace = std::ranges::any_of(r.data, [](const SourceRecipe& s) { return !s.trace.empty(); });
  return check_passed_over(
      {{"batch.rows", r.batch.rows != BatchRecipe{}.rows, "answers fill micro-batches of micro_rows * context tokens"},
       {"batch.overlong", r.batch.overlong != BatchRecipe{}.overlong,
        fmt::format("answers end at {}.max_tokens", kind)},
       {"data.weight", r.data.size() == 1 && r.data[0].weight != 1, "there is one source"},
       {"data.trace", has_trace, "solutions are not read"},
       {"validate.rows", r.validate.rows != ValidateRecipe{}.rows, "problems are asked, not rows read"}},
      where);
}

Status check_grpo(const Recipe& r, const PlaceOfKey& where) {
  const GrpoRecipe& g = r.grpo;
  if (r.model.path.empty()) {
    return clash(where("model.config"), "kind is grpo and model.config begins a new model",
                 "a model that can answer already", "train it first, and set model.path to its model folder");
  }
  NARU_TRY(check_passed_over(
      {{"grpo.clip_low", g.ratio == "weighted" && g.clip_low != GrpoRecipe{}.clip_low, "that ratio has no lower bound"},
       {"grpo.off_policy_max", g.off_policy_max > 0 && g.updates == 1, "with one update nothing is off-policy"},
       {"grpo.keep_routing", g.keep_routing && g.updates == 1, "with one update the experts are those of the rollout"}},
      where));
  for (const auto& [key, is_given] : {std::pair<std::string, bool>{"grpo.kl", g.kl != GrpoRecipe{}.kl},
                                      {"grpo.reference_every", g.reference_every > 0}}) {
    if (!is_given || g.kl_weight > 0) continue;
    return clash(where(key), fmt::format("{} is given and grpo.kl_weight is 0, so that no reference is read", key),
                 "a distance that counts", "set grpo.kl_weight = 0.001, for one, or remove the line");
  }
  if (g.reference_every % g.updates != 0) {
    return clash(where("grpo.reference_every"),
                 fmt::format("grpo.reference_every is {} and grpo.updates {}", g.reference_every, g.updates),
                 "a number that the updates divide: a rollout has one reference", "change one of them");
  }
  if (g.soft_tokens >= g.max_tokens) {
    return clash(where("grpo.soft_tokens"),
                 fmt::format("grpo.soft_tokens is {} and grpo.max_tokens {}", g.soft_tokens, g.max_tokens),
                 "fewer than max_tokens", "lower soft_tokens");
  }
  return {};
}

Status check_distill(const Recipe& r, const PlaceOfKey& where) {
  if (r.teacher.empty()) {
    return clash(where("kind"), "kind is distill and there is no [[teacher]]", "at least one model to learn from",
                 "write [[teacher]] and under it path = \"FOLDER\"");
  }
  for (size_t i = 0; i < r.teacher.size(); ++i) {
    if (!r.teacher[i].path.empty()) continue;
    return clash(where("teacher.path"), fmt::format("teacher.{} has no path", i), "a folder or a .gguf file",
                 "give it one");
  }
  return {};
}

Status check_shape(const Recipe& r, const PlaceOfKey& where) {
  const RolloutRecipe& g = rollout_of(r);
  const std::string section(run_kind_name(r.kind));
  const auto place = [&](std::string_view key) { return where(fmt::format("{}.{}", section, key)); };
  if (g.prompts * g.answers * rollout_rounds(r) > kGrpoAnswersMax) {
    const std::string rounds = r.kind == RunKind::kGrpo ? fmt::format(", {0}.answers {1} and {0}.rounds {2}", section,
                                                                      g.answers, r.grpo.rounds)
                                                        : fmt::format(" and {}.answers {}", section, g.answers);
    return clash(place("answers"), fmt::format("{}.prompts is {}{}", section, g.prompts, rounds),
                 fmt::format("at most {} answers of a rollout", kGrpoAnswersMax), "lower one of them");
  }
  if (g.top_k == 1 && g.answers > 1) {
    return clash(place("top_k"), fmt::format("{}.top_k is 1", section), "0, or at least 2 tokens to draw from",
                 fmt::format("raise {}.top_k, as all answers of a group would be the same", section));
  }
  if (g.prompts % g.updates != 0) {
    return clash(place("updates"), fmt::format("{0}.prompts is {1} and {0}.updates {2}", section, g.prompts, g.updates),
                 "a number of problems that the updates divide", "change one of them");
  }
  if (g.max_tokens >= r.batch.context) {
    return clash(place("max_tokens"),
                 fmt::format("{}.max_tokens is {} and batch.context {}", section, g.max_tokens, r.batch.context),
                 "room for a prompt and its answer", "raise batch.context, or lower max_tokens");
  }
  if (r.loss.mtp > 0) {
    return clash(where("loss.mtp"), fmt::format("loss.mtp is {} and kind is {}", r.loss.mtp, section), "0",
                 "prediction layers learn from texts; set it to 0");
  }
  return {};
}

}  // namespace

Status check_rollouts(const Recipe& r, const PlaceOfKey& where) {
  NARU_TRY(check_sections(r, where));
  if (!has_rollouts(r.kind)) return {};
  NARU_TRY(check_problems(r, where));
  NARU_TRY(r.kind == RunKind::kGrpo ? check_grpo(r, where) : check_distill(r, where));
  return check_shape(r, where);
}

}  // namespace naru::recipes
