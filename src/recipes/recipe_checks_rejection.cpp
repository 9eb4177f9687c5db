// What the keys of a recipe of kind rejection must be to each other.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <initializer_list>
#include <tuple>

#include "recipes/recipe_checks.h"
#include "recipes/recipe_schema.h"

namespace naru::recipes {
namespace {

// Sections that are of training.
constexpr std::array<std::string_view, 8> kTrainingSections = {"batch", "optimizer", "schedule",   "loss",
                                                               "lora",  "guard",     "checkpoint", "validate"};
constexpr std::array<std::string_view, 3> kTrainingKeys = {"steps", "epochs", "recompute"};

bool is_of_training(const KeyRow& row) {
  if (row.section.empty()) return std::ranges::find(kTrainingKeys, row.key) != kTrainingKeys.end();
  return std::ranges::find(kTrainingSections, row.section) != kTrainingSections.end() || row.section == "sample" ||
         row.path() == "model.init_std";
}

// Nothing that somebody wrote is passed over.
Status check_nothing_of_training(const Recipe& r, const PlaceOfKey& where) {
  Recipe given = r, plain;
  for (const KeyRow& row : recipe_keys()) {
    if (!is_of_training(row) || value_text(row.field(given, 0)) == value_text(row.field(plain, 0))) continue;
    return clash(where(row.path()), fmt::format("{} is given and kind is rejection, which trains nothing", row.path()),
                 "only what decides the run", "remove the line");
  }
  if (r.validation.empty()) return {};
  return clash(where("validation.path"), "there is [[validation]] and kind is rejection, which trains nothing",
               "problems under [[data]]", "remove the section");
}

Status check_sources_of_problems(const Recipe& r, const PlaceOfKey& where) {
  for (size_t i = 0; i < r.data.size(); ++i) {
    const SourceRecipe& s = r.data[i];
    if (!s.trace.empty()) {
      return clash(where("data.trace"), fmt::format("data.{} has a trace and kind is rejection", i),
                   "no trace: solutions are not read", "remove the line");
    }
    if (s.weight == 1 || (r.data.size() > 1 && r.rejection.problems > 0)) continue;
    return clash(where("data.weight"),
                 fmt::format("data.{} has weight {}, and {}", i, s.weight,
                             r.data.size() == 1 ? "there is one source" : "rejection.problems is 0: all are asked"),
                 "a weight where it decides something",
                 r.data.size() == 1 ? "remove the line" : "set rejection.problems, or remove the line");
  }
  return {};
}

Status check_filters(const Recipe& r, const PlaceOfKey& where) {
  const RejectionRecipe& j = r.rejection;
  const int64_t high = j.tokens_high > 0 ? j.tokens_high : j.max_tokens;
  if (j.tokens_high > j.max_tokens) {
    return clash(where("rejection.tokens_high"),
                 fmt::format("rejection.tokens_high is {} and rejection.max_tokens {}", j.tokens_high, j.max_tokens),
                 "at most max_tokens", "raise max_tokens, or remove tokens_high");
  }
  if (j.tokens_low > high) {
    return clash(where("rejection.tokens_low"),
                 fmt::format("rejection.tokens_low is {} and the longest answer {} tokens", j.tokens_low, high),
                 "some length that is kept", "lower tokens_low");
  }
  if (j.pass_rate_low > j.pass_rate_high) {
    return clash(
        where("rejection.pass_rate_low"),
        fmt::format("rejection.pass_rate_low is {} and rejection.pass_rate_high {}", j.pass_rate_low, j.pass_rate_high),
        "some pass rate that is kept", "lower pass_rate_low");
  }
  if (j.keep > j.answers) {
    return clash(where("rejection.keep"),
                 fmt::format("rejection.keep is {} and rejection.answers {}", j.keep, j.answers), "at most all of them",
                 "lower keep, or draw more answers");
  }
  const auto decides = [](const RewardRecipe& w) { return w.kind == "answer" || w.kind == "program"; };
  if (r.reward.empty() || std::ranges::any_of(r.reward, decides)) return {};
  const RejectionRecipe plain;
  for (const auto& [key, is_given] : std::initializer_list<std::tuple<std::string, bool>>{
           {"right", j.right},
           {"pass_rate_low", j.pass_rate_low != plain.pass_rate_low},
           {"pass_rate_high", j.pass_rate_high != plain.pass_rate_high}}) {
    if (!is_given) continue;
    return clash(where("rejection." + key),
                 fmt::format("rejection.{} asks what is right, and no [[reward]] says it", key),
                 "a part of kind \"answer\" or \"program\"",
                 fmt::format("add one (with weight = 0 it is only asked), or set {}",
                             key == "right" ? "right = false" : key + " to its default"));
  }
  return {};
}

}  // namespace

Status check_rejection(const Recipe& r, const PlaceOfKey& where) {
  if (r.kind != RunKind::kRejection) return {};
  const RejectionRecipe& j = r.rejection;
  if (r.model.path.empty()) {
    return clash(where("model.config"), "kind is rejection and model.config begins a new model",
                 "a model that can answer already", "train it first, and set model.path to its model folder");
  }
  if (!r.model.tokenizer.empty()) {
    return clash(where("model.tokenizer"), "kind is rejection and model.tokenizer is given",
                 "the model's own tokenizer, which its weights were trained with", "remove the line");
  }
  NARU_TRY(check_nothing_of_training(r, where));
  NARU_TRY(check_sources_of_problems(r, where));
  if (j.top_k == 1 && j.answers > 1) {
    return clash(where("rejection.top_k"), fmt::format("rejection.top_k is 1 and rejection.answers {}", j.answers),
                 "0, or at least 2 tokens to draw from", "raise top_k, or draw one answer, as all would be the same");
  }
  return check_filters(r, where);
}

}  // namespace naru::recipes
