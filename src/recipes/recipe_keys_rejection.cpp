// The keys of [rejection], a part of the table of recipe_keys.cpp.
#include <array>

#include "recipes/recipe_schema.h"

namespace naru::recipes {
namespace {

template <auto Member>
Field of_rejection(Recipe& recipe, size_t) {
  return &(recipe.rejection.*Member);
}

using J = RejectionRecipe;

constexpr std::array<std::string_view, 3> kAsks = {"", "chat", "text"};
constexpr std::array<std::string_view, 3> kSampleForms = {"", "messages", "text"};

constexpr KeyRow kRejectionKeys[] = {
    {.section = "rejection",
     .key = "problems",
     .field = of_rejection<&J::problems>,
     .meaning = "asked in all, dealt to the sources by their weights; a source that ends is asked again. 0: all of all "
                "sources, each once",
     .range = {0, kRejectionProblemsMax}},
    {.section = "rejection",
     .key = "answers",
     .field = of_rejection<&J::answers>,
     .meaning = "drawn to each problem",
     .range = {1, kRejectionAnswersMax}},
    {.section = "rejection",
     .key = "max_tokens",
     .field = of_rejection<&J::max_tokens>,
     .meaning = "the longest answer; one that is cut off there is dropped, whatever else it is",
     .range = {1, 1048576}},
    {.section = "rejection",
     .key = "temperature",
     .field = of_rejection<&J::temperature>,
     .meaning = "of the answers: above 1 where all are the same, below where they fall apart",
     .range = {0.01, 100}},
    {.section = "rejection",
     .key = "top_k",
     .field = of_rejection<&J::top_k>,
     .meaning = "drawn from so many tokens; 0: from all",
     .range = {0, 1048576}},
    {.section = "rejection",
     .key = "top_p",
     .field = of_rejection<&J::top_p>,
     .meaning = "from the fewest that are so likely together; 1: from all",
     .range = {0, 1, true}},
    {.section = "rejection",
     .key = "min_p",
     .field = of_rejection<&J::min_p>,
     .meaning = "from those at least so likely as a share of the likeliest; 0: from all",
     .range = {0, 1, false, true}},
    {.section = "rejection",
     .key = "ask",
     .field = of_rejection<&J::ask>,
     .meaning = "how problems are put: as a user's message by the `chat` template, or as plain `text` that the model "
                "goes on with; empty: by the template where the model has one",
     .words = kAsks},
    {.section = "rejection",
     .key = "form",
     .field = of_rejection<&J::form>,
     .meaning = "of the lines: `messages`, for `sft`, or `text`, for `pretrain`; empty: as problems were asked",
     .words = kSampleForms},
    {.section = "rejection", .key = "right", .field = of_rejection<&J::right>, .meaning = "right answers only"},
    {.section = "rejection",
     .key = "reward_low",
     .field = of_rejection<&J::reward_low>,
     .meaning = "the least reward of an answer that is kept",
     .range = {-1e9, 1e9}},
    {.section = "rejection",
     .key = "language_low",
     .field = of_rejection<&J::language_low>,
     .meaning = "the least share of its words in the question's language ([rewards.md](rewards.md)); 0: any language",
     .range = {0, 1}},
    {.section = "rejection",
     .key = "tokens_low",
     .field = of_rejection<&J::tokens_low>,
     .meaning = "the fewest tokens, without the one that ends it",
     .range = {0, 1048576}},
    {.section = "rejection",
     .key = "tokens_high",
     .field = of_rejection<&J::tokens_high>,
     .meaning = "the most tokens; 0: `max_tokens`",
     .range = {0, 1048576}},
    {.section = "rejection",
     .key = "repetition_high",
     .field = of_rejection<&J::repetition_high>,
     .meaning = "the largest share of its tokens that stand in stretches of 8 that were there before in the answer; "
                "1: any",
     .range = {0, 1}},
    {.section = "rejection",
     .key = "deduplicate",
     .field = of_rejection<&J::deduplicate>,
     .meaning = "of equal answers to equal questions the first only"},
    {.section = "rejection",
     .key = "pass_rate_low",
     .field = of_rejection<&J::pass_rate_low>,
     .meaning = "problems of which a smaller share of the answers is right are too hard: none of theirs is kept",
     .range = {0, 1}},
    {.section = "rejection",
     .key = "pass_rate_high",
     .field = of_rejection<&J::pass_rate_high>,
     .meaning = "those of which a larger share is right are too easy",
     .range = {0, 1}},
    {.section = "rejection",
     .key = "keep",
     .field = of_rejection<&J::keep>,
     .meaning = "the most that are kept of one problem: the best by reward, of equal ones the first; 0: all",
     .range = {0, kRejectionAnswersMax}},
    {.section = "rejection",
     .key = "at_once",
     .field = of_rejection<&J::at_once>,
     .meaning = "answers that are written together: more is faster and takes more memory",
     .range = {1, 4096},
     .decides_bits = false},
};

}  // namespace

std::span<const KeyRow> rejection_keys() {
  return kRejectionKeys;
}

}  // namespace naru::recipes
