// The keys of [[reward]], a part of the table of recipe_keys.cpp.
#include <array>

#include "recipes/recipe_schema.h"

namespace naru::recipes {
namespace {

template <auto Member>
Field of_reward(Recipe& recipe, size_t index) {
  return &(recipe.reward[index].*Member);
}

using W = RewardRecipe;

constexpr std::array<std::string_view, 5> kRewardKinds = {"answer", "format", "language", "length", "program"};
constexpr std::array<std::string_view, 7> kFinds = {"", "verifier", "whole", "last_line", "boxed", "mark", "number"};
constexpr std::array<std::string_view, 3> kCompares = {"", "text", "number"};

constexpr KeyRow kRewardKeys[] = {
    {.section = "reward",
     .key = "kind",
     .field = of_reward<&W::kind>,
     .meaning = "`answer`: 1 where it is right; `format`: 1 where reasoning is opened once, closed, and an answer "
                "follows; `language`: share of words in the prompt's language; `length`: 0, falling to -1 at "
                "`max_tokens` of the run; `program`: what a program of yours says",
     .words = kRewardKinds},
    {.section = "reward",
     .key = "name",
     .field = of_reward<&W::name>,
     .meaning = "in metrics, as `reward_NAME`: letters, digits, `_` and `-`, each name once; empty: its kind",
     .text = TextKind::kName},
    {.section = "reward",
     .key = "weight",
     .field = of_reward<&W::weight>,
     .meaning = "how often the part counts in the sum; 0: it is only watched",
     .range = {-1e6, 1e6}},
    {.section = "reward",
     .key = "find",
     .field = of_reward<&W::find>,
     .meaning = "of `answer`, where it stands: by the generator's `verifier`; the `whole` text; its `last_line`; the "
                "last `\\boxed{}`; behind the last `####` (`mark`); the last `number`. Empty: the verifier, and of "
                "files the first there is of boxed, mark, and the last number or line",
     .words = kFinds},
    {.section = "reward",
     .key = "compare",
     .field = of_reward<&W::compare>,
     .meaning = "of `answer`: as `text`, or as a `number` in any usual spelling; empty: as a number where the "
                "problem's answer is one",
     .words = kCompares},
    {.section = "reward",
     .key = "strict",
     .field = of_reward<&W::strict>,
     .meaning = "of `answer`: right only where the format is, too; else it is looked for behind the reasoning where "
                "there is any"},
    {.section = "reward",
     .key = "tag",
     .field = of_reward<&W::tag>,
     .meaning = "of `answer` and `format`: the name of the tags around reasoning; `think` is `<think>` and "
                "`</think>`",
     .text = TextKind::kName},
    {.section = "reward",
     .key = "tokens",
     .field = of_reward<&W::tokens>,
     .meaning = "of `length`: answers of up to so many tokens cost nothing",
     .range = {0, 1048576}},
    {.section = "reward",
     .key = "command",
     .field = of_reward<&W::command>,
     .meaning = "of `program`: the program and its arguments, without a shell, run in the recipe's folder"},
    {.section = "reward",
     .key = "processes",
     .field = of_reward<&W::processes>,
     .meaning = "of `program`: how many of it are at work together",
     .range = {1, 256},
     .decides_bits = false},
    {.section = "reward",
     .key = "seconds",
     .field = of_reward<&W::seconds>,
     .meaning = "of `program`: the longest it may take for one answer",
     .range = {0, 86400, true},
     .decides_bits = false},
    {.section = "reward",
     .key = "memory_mib",
     .field = of_reward<&W::memory_mib>,
     .meaning = "of `program`: address space that a process may have, in MiB; 0: any",
     .range = {0, 1e9},
     .decides_bits = false},
    {.section = "reward",
     .key = "failure_reward",
     .field = of_reward<&W::failure_reward>,
     .meaning = "of `program`: what an answer is worth for which it gave no reward",
     .range = {-1e6, 1e6}},
};

}  // namespace

std::span<const KeyRow> reward_keys() {
  return kRewardKeys;
}

}  // namespace naru::recipes
