// The keys of [grpo], a part of the table of recipe_keys.cpp.
#include <array>

#include "recipes/recipe_schema.h"

namespace naru::recipes {
namespace {

template <auto Member>
Field of_grpo(Recipe& recipe, size_t) {
  return &(recipe.grpo.*Member);
}

using G = GrpoRecipe;

constexpr std::array<std::string_view, 2> kAdvantages = {"group_std", "group_mean"};
constexpr std::array<std::string_view, 3> kAverages = {"answer_mean", "token_mean", "constant"};
constexpr std::array<std::string_view, 3> kRatios = {"token", "sequence", "weighted"};
constexpr std::array<std::string_view, 2> kKls = {"k3", "unbiased"};

constexpr KeyRow kGrpoKeys[] = {
    {.section = "grpo",
     .key = "prompts",
     .field = of_grpo<&G::prompts>,
     .meaning = "problems of a rollout",
     .range = {1, 65536}},
    {.section = "grpo",
     .key = "answers",
     .field = of_grpo<&G::answers>,
     .meaning = "answers to each problem, a group: 8 to 64; more where few are right",
     .range = {2, 4096},
     .next = "an answer is compared with the others of its group: raise grpo.answers, 8 to 64 is usual; with fewer "
             "grpo.prompts a step is as large"},
    {.section = "grpo",
     .key = "rounds",
     .field = of_grpo<&G::rounds>,
     .meaning =
         "above 1: in place of problems whose answers are all worth the same others are asked, up to so many times "
         "`prompts` in all (DAPO's dynamic sampling); where `flat_groups` is high",
     .range = {1, 1024}},
    {.section = "grpo",
     .key = "updates",
     .field = of_grpo<&G::updates>,
     .meaning = "steps on a rollout, each on an equal part of its problems. 1: every step is on-policy, the ratio is 1",
     .range = {1, 1024}},
    {.section = "grpo",
     .key = "max_tokens",
     .field = of_grpo<&G::max_tokens>,
     .meaning = "the longest answer; it fits into `batch.context` with its prompt",
     .range = {1, 1048576}},
    {.section = "grpo",
     .key = "soft_tokens",
     .field = of_grpo<&G::soft_tokens>,
     .meaning =
         "of the longest answers: the reward falls in a line over the last so many tokens before `max_tokens`, to "
         "-1 there (DAPO); where many answers are cut off. 0: it does not",
     .range = {0, 1048576}},
    {.section = "grpo",
     .key = "advantage",
     .field = of_grpo<&G::advantage>,
     .meaning =
         "`group_std`: (reward - mean) / deviation of the group (GRPO, R1); `group_mean`: not divided (Dr. GRPO), "
         "where nearly solved problems should not count more",
     .words = kAdvantages},
    {.section = "grpo",
     .key = "average",
     .field = of_grpo<&G::average>,
     .meaning = "of losses: `answer_mean`: over an answer's tokens, then over answers (GRPO); `token_mean`: over all "
                "tokens (DAPO), for long answers; `constant`: their sum by `max_tokens` (Dr. GRPO), blind to length",
     .words = kAverages},
    {.section = "grpo",
     .key = "ratio",
     .field = of_grpo<&G::ratio>,
     .meaning =
         "of the policy to the one that sampled: `token`: of each token (GRPO); `sequence`: of the answer (GSPO), "
         "with bounds of a few 1e-4; `weighted`: a constant weight that drops no token (CISPO)",
     .words = kRatios},
    {.section = "grpo",
     .key = "clip_low",
     .field = of_grpo<&G::clip_low>,
     .meaning = "how far below 1 the ratio counts; none for `weighted`",
     .range = {0, 1}},
    {.section = "grpo",
     .key = "clip_high",
     .field = of_grpo<&G::clip_high>,
     .meaning = "how far above 1 it counts; DAPO takes 0.28, so that rare good tokens can rise",
     .range = {0, 100}},
    {.section = "grpo",
     .key = "off_policy_max",
     .field = of_grpo<&G::off_policy_max>,
     .meaning = "answers with an advantage below 0 whose log-ratio fell by more than this in the mean are left out "
                "(DeepSeek-V3.2), with several updates; 0: none is",
     .range = {0, 100}},
    {.section = "grpo",
     .key = "keep_routing",
     .field = of_grpo<&G::keep_routing>,
     .meaning = "every token keeps the experts that the rollout chose for it, and routers weigh them as they are now "
                "(DeepSeek-V3.2): for mixtures of experts with several updates"},
    {.section = "grpo",
     .key = "share_prompts",
     .field = of_grpo<&G::share_prompts>,
     .meaning = "answers to one prompt that lie in one micro-batch compute its rows once: the same losses in less "
                "time, gradients added in another order; not in models with prediction layers"},
    {.section = "grpo",
     .key = "temperature",
     .field = of_grpo<&G::temperature>,
     .meaning =
         "of the rollout, and of the policy in training: above 1 where groups are all the same, below where answers "
         "fall apart",
     .range = {0.01, 100}},
    {.section = "grpo",
     .key = "top_k",
     .field = of_grpo<&G::top_k>,
     .meaning = "the rollout draws from so many tokens, and training is of the same ones (DeepSeek-V3.2); 0: from all",
     .range = {0, 1048576}},
    {.section = "grpo",
     .key = "top_p",
     .field = of_grpo<&G::top_p>,
     .meaning = "from the fewest that are so likely together, where rare tokens spoil long answers; 1: from all",
     .range = {0, 1, true}},
    {.section = "grpo",
     .key = "min_p",
     .field = of_grpo<&G::min_p>,
     .meaning = "from those at least so likely as a share of the likeliest, where the temperature is high; 0: from all",
     .range = {0, 1, false, true}},
    {.section = "grpo",
     .key = "kl_weight",
     .field = of_grpo<&G::kl_weight>,
     .meaning = "of the distance to the reference policy (R1: 0.001, GRPO: 0.04), where the model must not forget what "
                "is not rewarded; 0: there is no reference, as in DAPO",
     .range = {0, 100}},
    {.section = "grpo",
     .key = "kl",
     .field = of_grpo<&G::kl>,
     .meaning = "how the distance is estimated: `k3` (GRPO), or `unbiased` (DeepSeek-V3.2), whose gradient stays right "
                "where the policy has left the one that sampled",
     .words = kKls},
    {.section = "grpo",
     .key = "reference_every",
     .field = of_grpo<&G::reference_every>,
     .meaning =
         "steps after which the present weights become the reference (R1: 400), in long runs; 0: it is the start",
     .range = {0, 1e9}},
    {.section = "grpo",
     .key = "at_once",
     .field = of_grpo<&G::at_once>,
     .meaning = "answers that are written together: more is faster and takes more memory",
     .range = {1, 4096},
     .decides_bits = false},
};

}  // namespace

std::span<const KeyRow> grpo_keys() {
  return kGrpoKeys;
}

}  // namespace naru::recipes
