// The keys of [distill] and [[teacher]], a part of the table of recipe_keys.cpp.
#include <array>

#include "recipes/recipe_schema.h"

namespace naru::recipes {
namespace {

template <auto Member>
Field of_distill(Recipe& recipe, size_t) {
  return &(recipe.distill.*Member);
}
template <auto Member>
Field of_teacher(Recipe& recipe, size_t index) {
  return &(recipe.teacher[index].*Member);
}

using D = DistillRecipe;

constexpr std::array<std::string_view, 3> kDistillAverages = {"answer_mean", "token_mean", "constant"};

constexpr KeyRow kDistillKeys[] = {
    {.section = "distill",
     .key = "prompts",
     .field = of_distill<&D::prompts>,
     .meaning = "problems of a rollout",
     .range = {1, 65536}},
    {.section = "distill",
     .key = "answers",
     .field = of_distill<&D::answers>,
     .meaning = "answers to each problem: every token of one teaches by itself, so few do",
     .range = {1, 4096}},
    {.section = "distill",
     .key = "updates",
     .field = of_distill<&D::updates>,
     .meaning = "steps on a rollout, each on an equal part of its problems. 1: every step is on-policy",
     .range = {1, 1024}},
    {.section = "distill",
     .key = "max_tokens",
     .field = of_distill<&D::max_tokens>,
     .meaning = "the longest answer; it fits into `batch.context` with its prompt",
     .range = {1, 1048576}},
    {.section = "distill",
     .key = "average",
     .field = of_distill<&D::average>,
     .meaning = "of losses: `answer_mean`: over an answer's tokens, then over answers; `token_mean`: over all tokens; "
                "`constant`: their sum by `max_tokens`",
     .words = kDistillAverages},
    {.section = "distill",
     .key = "temperature",
     .field = of_distill<&D::temperature>,
     .meaning = "of the rollout alone; the loss compares both models at 1",
     .range = {0.01, 100}},
    {.section = "distill",
     .key = "top_k",
     .field = of_distill<&D::top_k>,
     .meaning = "the rollout draws from so many tokens; the loss is over all. 0: from all",
     .range = {0, 1048576}},
    {.section = "distill",
     .key = "top_p",
     .field = of_distill<&D::top_p>,
     .meaning = "from the fewest that are so likely together; 1: from all",
     .range = {0, 1, true}},
    {.section = "distill",
     .key = "min_p",
     .field = of_distill<&D::min_p>,
     .meaning = "from those at least so likely as a share of the likeliest; 0: from all",
     .range = {0, 1, false, true}},
    {.section = "distill",
     .key = "at_once",
     .field = of_distill<&D::at_once>,
     .meaning = "answers that are written together: more is faster and takes more memory",
     .range = {1, 4096},
     .decides_bits = false},

    {.section = "teacher",
     .key = "path",
     .field = of_teacher<&TeacherRecipe::path>,
     .meaning =
         "a Hugging Face folder, a `.gguf` file or a folder with one, or the name of a pulled model, of any family "
         "and size",
     .text = TextKind::kPath},
    {.section = "teacher",
     .key = "weight",
     .field = of_teacher<&TeacherRecipe::weight>,
     .meaning = "how often the distance to it counts; the loss is the sum over teachers",
     .range = {0, 1e6, true}},
};

}  // namespace

std::span<const KeyRow> distill_keys() {
  return kDistillKeys;
}

}  // namespace naru::recipes
