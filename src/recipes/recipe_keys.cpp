// The table of a recipe's keys, in the order in which they are written and documented.
#include <algorithm>
#include <array>
#include <iterator>

#include "recipes/recipe_schema.h"

namespace naru::recipes {
namespace {

template <auto Member>
Field top(Recipe& recipe, size_t) {
  return &(recipe.*Member);
}
template <auto Section, auto Member>
Field in(Recipe& recipe, size_t) {
  return &((recipe.*Section).*Member);
}
template <auto List, auto Member>
Field of(Recipe& recipe, size_t index) {
  return &((recipe.*List)[index].*Member);
}

constexpr double kMany = 1e9;  // no count of a recipe is larger
constexpr Range kCount = {0, kMany};
constexpr Range kCountFromOne = {1, kMany};
constexpr Range kShare = {0, 1, false, true};

constexpr std::array<std::string_view, 2> kComputes = {"f32", "bf16"};
constexpr std::array<std::string_view, 3> kForms = {"", "expanded", "latent"};
constexpr std::array<std::string_view, 4> kGenerators = {"", "digits", "countdown", "word_problems"};
constexpr std::array<std::string_view, 5> kLanguages = {"", "en", "ko", "zh", "all"};
constexpr std::array<std::string_view, 5> kTraces = {"", "short", "long", "mixed", "think"};
constexpr std::array<std::string_view, 2> kOverlong = {"cut", "drop"};
constexpr std::array<std::string_view, 2> kOptimizers = {"adamw", "muon"};
constexpr std::array<std::string_view, 2> kAdvantages = {"group_std", "group_mean"};
constexpr std::array<std::string_view, 3> kAverages = {"answer_mean", "token_mean", "constant"};
constexpr std::array<std::string_view, 3> kRatios = {"token", "sequence", "weighted"};
constexpr std::array<std::string_view, 2> kKls = {"k3", "unbiased"};
constexpr std::array<std::string_view, 4> kSchedules = {"constant", "linear", "cosine", "wsd"};
constexpr std::array<std::string_view, 12> kTargets = {
    kAllTargets,          "q_proj",   "k_proj",    "v_proj",   "o_proj",
    "gate_proj",          "up_proj",  "down_proj", "q_a_proj", "q_b_proj",
    "kv_a_proj_with_mqa", "kv_b_proj"};

template <auto Member>
size_t size_of(const Recipe& recipe) {
  return (recipe.*Member).size();
}
template <auto Member>
void resize(Recipe& recipe, size_t n) {
  (recipe.*Member).resize(n);
}
template <auto Member>
constexpr SectionList list_of(std::string_view element) {
  return {size_of<Member>, resize<Member>, element};
}
constexpr SectionList kDataList = list_of<&Recipe::data>("source");
constexpr SectionList kValidationList = list_of<&Recipe::validation>("source");
constexpr SectionList kRewardList = list_of<&Recipe::reward>("reward");

constexpr SectionRow kSections[] = {
    {"model", nullptr, "What is trained. Exactly one of `path` and `config` is given."},
    {"data", &kDataList,
     "A source of documents; `[[data]]` may be there several times, at least once. Exactly one of `path` and "
     "`generator` is given."},
    {"validation", &kValidationList,
     "A source whose loss is measured and never trained on; `[[validation]]` may be there several times, or not at "
     "all. The keys are those of `[[data]]`."},
    {"batch", nullptr, "The shape of a step."},
    {"optimizer", nullptr, "How weights follow gradients."},
    {"schedule", nullptr, "The learning rate over the steps: `optimizer.lr` times a factor from 0 to 1."},
    {"loss", nullptr, "What experts and prediction layers add to the cross entropy."},
    {"lora", nullptr, "Low-rank adapters instead of all weights."},
    {"grpo", nullptr,
     "Of `kind = \"grpo\"`: answers of the model itself to problems of `[[data]]`, judged ([[reward]]) and learnt "
     "from in groups ([training.md](training.md#reinforcement-learning))."},
    {"reward", &kRewardList,
     "Of `kind = \"grpo\"`: a part of what an answer is worth; parts are summed with their weights. Without any "
     "`[[reward]]` an answer is worth 1 where it is right ([rewards.md](rewards.md))."},
    {"guard", nullptr,
     "What happens when the gradient norm leaps, counted in standard deviations of its running mean."},
    {"checkpoint", nullptr, "What a run that is stopped or killed goes on from."},
    {"validate", nullptr, "When the loss of the `[[validation]]` sources is measured."},
    {"sample", nullptr, "Answers to fixed prompts, to see what the model does."},
};

using M = ModelRecipe;
using S = SourceRecipe;
using B = BatchRecipe;
using O = OptimizerRecipe;
using G = GrpoRecipe;
constexpr auto kModel = &Recipe::model;
constexpr auto kData = &Recipe::data;
constexpr auto kValidation = &Recipe::validation;
constexpr auto kBatch = &Recipe::batch;
constexpr auto kOptimizer = &Recipe::optimizer;
constexpr auto kSchedule = &Recipe::schedule;
constexpr auto kLoss = &Recipe::loss;
constexpr auto kLora = &Recipe::lora;
constexpr auto kGrpo = &Recipe::grpo;
constexpr auto kGuard = &Recipe::guard;
constexpr auto kSample = &Recipe::sample;

constexpr std::string_view kPathMeaning =
    "a `.txt` file (one document), a `.jsonl` file (texts, messages, ShareGPT, Alpaca, prompts with completions: "
    "[data.md](data.md)), a `.json` array of the same, or a folder of them; of `grpo` one `.jsonl` file of problems "
    "([rewards.md](rewards.md))";
constexpr std::string_view kGeneratorMeaning = "a built-in generator instead of a path";
constexpr std::string_view kWeightMeaning =
    "share of the rows (of `grpo` of the problems) that come from this source, against the other weights";
constexpr std::string_view kDocumentsMeaning = "of a generator: how many different documents; 0: its own default";
constexpr std::string_view kLanguageMeaning =
    "of `word_problems` and `countdown`: one language, or `all` three; empty: all of word problems, English of "
    "countdown";
constexpr std::string_view kTraceMeaning =
    "of a generator: how much of the working is shown, and how; empty: its own default";
constexpr std::string_view kNumbersMeaning = "of `countdown`: how many numbers a problem has, 3 or 4; 0: either";

constexpr KeyRow kKeys[] = {
    {.section = "",
     .key = "name",
     .field = top<&Recipe::name>,
     .meaning = "of the run; default: the file's name without `.toml`",
     .text = TextKind::kName,
     .decides_bits = false},
    {.section = "",
     .key = "kind",
     .field = top<&Recipe::kind>,
     .meaning = "`pretrain`: loss on every token; `sft`: on the assistant's turns only; `grpo`: reinforcement learning "
                "on answers of the "
                "model's own",
     .words = kRunKindNames},
    {.section = "",
     .key = "seed",
     .field = top<&Recipe::seed>,
     .meaning = "of drawn weights, the order of documents, generators and samples",
     .range = {0, 9223372036854775807.0}},
    {.section = "",
     .key = "steps",
     .field = top<&Recipe::steps>,
     .meaning = "length of the run in steps; exactly one of `steps` and `epochs` is above 0",
     .range = kCount},
    {.section = "",
     .key = "epochs",
     .field = top<&Recipe::epochs>,
     .meaning = "length of the run in passes over the data",
     .range = {0, 1e6}},
    {.section = "",
     .key = "compute",
     .field = top<&Recipe::compute>,
     .meaning = "the arithmetic of products: `f32`, or `bf16` (faster where the machine has it, f32 master weights)",
     .words = kComputes},
    {.section = "",
     .key = "recompute",
     .field = top<&Recipe::recompute>,
     .meaning = "keep a layer's input only and run it again backwards: less memory, more time, the same bits",
     .decides_bits = false},
    {.section = "",
     .key = "output",
     .field = top<&Recipe::output>,
     .meaning = "folder of the run; default: `runs/NAME`",
     .text = TextKind::kPath,
     .decides_bits = false},

    {.section = "model",
     .key = "path",
     .field = in<kModel, &M::path>,
     .meaning =
         "a checkpoint to go on from: a Hugging Face folder, a `.gguf` file or a folder with one, or the name of "
         "a pulled model ([pull.md](pull.md))",
     .text = TextKind::kPath},
    {.section = "model",
     .key = "config",
     .field = in<kModel, &M::config>,
     .meaning = "a `config.json`: a new model, its weights drawn from the seed",
     .text = TextKind::kPath},
    {.section = "model",
     .key = "tokenizer",
     .field = in<kModel, &M::tokenizer>,
     .meaning =
         "a folder with `tokenizer.json`, a `.gguf` file, or the name of a pulled model; default: that of `path`. A "
         "new model needs one",
     .text = TextKind::kPath},
    {.section = "model",
     .key = "chat_template",
     .field = in<kModel, &M::chat_template>,
     .meaning =
         "a file with a Jinja chat template, in training and in what is exported; default: that of the tokenizer",
     .text = TextKind::kPath},
    {.section = "model",
     .key = "form",
     .field = in<kModel, &M::form>,
     .meaning = "of latent attention, in training and in what is exported; empty: expanded",
     .words = kForms},
    {.section = "model",
     .key = "init_std",
     .field = in<kModel, &M::init_std>,
     .meaning = "standard deviation of drawn weights",
     .range = {0, 1, true}},

    {.section = "data", .key = "path", .field = of<kData, &S::path>, .meaning = kPathMeaning, .text = TextKind::kPath},
    {.section = "data",
     .key = "generator",
     .field = of<kData, &S::generator>,
     .meaning = kGeneratorMeaning,
     .words = kGenerators},
    {.section = "data",
     .key = "weight",
     .field = of<kData, &S::weight>,
     .meaning = kWeightMeaning,
     .range = {0, 1e6, true}},
    {.section = "data",
     .key = "documents",
     .field = of<kData, &S::documents>,
     .meaning = kDocumentsMeaning,
     .range = kCount},
    {.section = "data",
     .key = "language",
     .field = of<kData, &S::language>,
     .meaning = kLanguageMeaning,
     .words = kLanguages},
    {.section = "data", .key = "trace", .field = of<kData, &S::trace>, .meaning = kTraceMeaning, .words = kTraces},
    {.section = "data", .key = "numbers", .field = of<kData, &S::numbers>, .meaning = kNumbersMeaning, .range = {0, 4}},

    {.section = "validation",
     .key = "path",
     .field = of<kValidation, &S::path>,
     .meaning = kPathMeaning,
     .text = TextKind::kPath,
     .decides_bits = false},
    {.section = "validation",
     .key = "generator",
     .field = of<kValidation, &S::generator>,
     .meaning = kGeneratorMeaning,
     .words = kGenerators,
     .decides_bits = false},
    {.section = "validation",
     .key = "weight",
     .field = of<kValidation, &S::weight>,
     .meaning = kWeightMeaning,
     .range = {0, 1e6, true},
     .decides_bits = false},
    {.section = "validation",
     .key = "documents",
     .field = of<kValidation, &S::documents>,
     .meaning = kDocumentsMeaning,
     .range = kCount,
     .decides_bits = false},
    {.section = "validation",
     .key = "language",
     .field = of<kValidation, &S::language>,
     .meaning = kLanguageMeaning,
     .words = kLanguages,
     .decides_bits = false},
    {.section = "validation",
     .key = "trace",
     .field = of<kValidation, &S::trace>,
     .meaning = kTraceMeaning,
     .words = kTraces,
     .decides_bits = false},
    {.section = "validation",
     .key = "numbers",
     .field = of<kValidation, &S::numbers>,
     .meaning = kNumbersMeaning,
     .range = {0, 4},
     .decides_bits = false},

    {.section = "batch",
     .key = "context",
     .field = in<kBatch, &B::context>,
     .meaning = "tokens of one packed row",
     .range = {2, 1048576}},
    {.section = "batch",
     .key = "rows",
     .field = in<kBatch, &B::rows>,
     .meaning = "rows of a step",
     .range = {1, 1048576}},
    {.section = "batch",
     .key = "micro_rows",
     .field = in<kBatch, &B::micro_rows>,
     .meaning = "rows of a micro-batch, at most `rows`, which it is where it is not given and `rows` is less; the last "
                "micro-batch of a step has what remains. Part of the arithmetic: another value gives other bits",
     .range = {1, 65536}},
    {.section = "batch",
     .key = "groups",
     .field = in<kBatch, &B::groups>,
     .meaning = "groups of micro-batches whose gradients are added in a fixed tree ([arithmetic.md](arithmetic.md) "
                "section 7). Part of the arithmetic",
     .range = {1, 1024}},
    {.section = "batch",
     .key = "overlong",
     .field = in<kBatch, &B::overlong>,
     .meaning = "a document longer than the context: `cut` into pieces, or `drop`; each is reported",
     .words = kOverlong},

    {.section = "optimizer",
     .key = "kind",
     .field = in<kOptimizer, &O::kind>,
     .meaning = "`adamw`, or `muon` for matrices with `adamw` for everything else",
     .words = kOptimizers},
    {.section = "optimizer",
     .key = "lr",
     .field = in<kOptimizer, &O::lr>,
     .meaning = "the highest learning rate",
     .range = {0, 10, true}},
    {.section = "optimizer",
     .key = "beta1",
     .field = in<kOptimizer, &O::beta1>,
     .meaning = "decay of the first moment",
     .range = kShare},
    {.section = "optimizer",
     .key = "beta2",
     .field = in<kOptimizer, &O::beta2>,
     .meaning = "decay of the second moment",
     .range = kShare},
    {.section = "optimizer",
     .key = "eps",
     .field = in<kOptimizer, &O::eps>,
     .meaning = "added to the root of the second moment",
     .range = {0, 1, true}},
    {.section = "optimizer",
     .key = "weight_decay",
     .field = in<kOptimizer, &O::weight_decay>,
     .meaning = "decoupled, of matrices; never of norms and biases",
     .range = {0, 10}},
    {.section = "optimizer",
     .key = "decay_embeddings",
     .field = in<kOptimizer, &O::decay_embeddings>,
     .meaning = "whether embedding and head decay too"},
    {.section = "optimizer",
     .key = "clip_norm",
     .field = in<kOptimizer, &O::clip_norm>,
     .meaning = "the gradient is scaled down to this norm; 0: never",
     .range = {0, 1e6}},
    {.section = "optimizer",
     .key = "momentum",
     .field = in<kOptimizer, &O::momentum>,
     .meaning = "of `muon`; `adamw` has none",
     .range = kShare},

    {.section = "schedule",
     .key = "kind",
     .field = in<kSchedule, &ScheduleRecipe::kind>,
     .meaning = "`wsd` is warm-up, stable, decay",
     .words = kSchedules},
    {.section = "schedule",
     .key = "warmup_steps",
     .field = in<kSchedule, &ScheduleRecipe::warmup_steps>,
     .meaning = "first steps, in which the factor rises to 1 in a line",
     .range = kCount},
    {.section = "schedule",
     .key = "decay_steps",
     .field = in<kSchedule, &ScheduleRecipe::decay_steps>,
     .meaning = "of `wsd`: the last steps, in which the factor falls; 0 with every other kind",
     .range = kCount},
    {.section = "schedule",
     .key = "final_factor",
     .field = in<kSchedule, &ScheduleRecipe::final_factor>,
     .meaning = "where `linear`, `cosine` and `wsd` end; `constant` stays at 1",
     .range = {0, 1}},

    {.section = "loss",
     .key = "bias_update",
     .field = in<kLoss, &LossRecipe::bias_update>,
     .meaning = "how far a step moves the routing bias of an expert (DeepSeek-V3); 0: not at all",
     .range = {0, 1}},
    {.section = "loss",
     .key = "balance",
     .field = in<kLoss, &LossRecipe::balance>,
     .meaning = "weight of the sequence-wise balance loss of experts; 0: none",
     .range = {0, 1}},
    {.section = "loss",
     .key = "mtp",
     .field = in<kLoss, &LossRecipe::mtp>,
     .meaning = "weight of the prediction layers' loss (MTP; DeepSeek-V3: 0.3, later 0.1); 0: they are left out",
     .range = {0, 10}},

    {.section = "lora",
     .key = "rank",
     .field = in<kLora, &LoraRecipe::rank>,
     .meaning = "of the adapters; 0: no adapters, all weights are trained",
     .range = {0, 4096}},
    {.section = "lora",
     .key = "alpha",
     .field = in<kLora, &LoraRecipe::alpha>,
     .meaning = "an adapter counts alpha / rank times",
     .range = {0, 1e4, true}},
    {.section = "lora",
     .key = "targets",
     .field = in<kLora, &LoraRecipe::targets>,
     .meaning =
         "the matrices that get one: `all` that the model's layers have and that can (experts and kv_b cannot), or "
         "some, by the name they have in a Hugging Face folder",
     .words = kTargets},

    {.section = "grpo",
     .key = "prompts",
     .field = in<kGrpo, &G::prompts>,
     .meaning = "problems of a rollout",
     .range = {1, 65536}},
    {.section = "grpo",
     .key = "answers",
     .field = in<kGrpo, &G::answers>,
     .meaning = "answers to each problem, a group: 8 to 64; more where few are right",
     .range = {2, 4096},
     .next = "an answer is compared with the others of its group: raise grpo.answers, 8 to 64 is usual; with fewer "
             "grpo.prompts a step is as large"},
    {.section = "grpo",
     .key = "rounds",
     .field = in<kGrpo, &G::rounds>,
     .meaning =
         "above 1: in place of problems whose answers are all worth the same others are asked, up to so many times "
         "`prompts` in all (DAPO's dynamic sampling); where `flat_groups` is high",
     .range = {1, 1024}},
    {.section = "grpo",
     .key = "updates",
     .field = in<kGrpo, &G::updates>,
     .meaning = "steps on a rollout, each on an equal part of its problems. 1: every step is on-policy, the ratio is 1",
     .range = {1, 1024}},
    {.section = "grpo",
     .key = "max_tokens",
     .field = in<kGrpo, &G::max_tokens>,
     .meaning = "the longest answer; it fits into `batch.context` with its prompt",
     .range = {1, 1048576}},
    {.section = "grpo",
     .key = "soft_tokens",
     .field = in<kGrpo, &G::soft_tokens>,
     .meaning =
         "of the longest answers: the reward falls in a line over the last so many tokens before `max_tokens`, to "
         "-1 there (DAPO); where many answers are cut off. 0: it does not",
     .range = {0, 1048576}},
    {.section = "grpo",
     .key = "advantage",
     .field = in<kGrpo, &G::advantage>,
     .meaning =
         "`group_std`: (reward - mean) / deviation of the group (GRPO, R1); `group_mean`: not divided (Dr. GRPO), "
         "where nearly solved problems should not count more",
     .words = kAdvantages},
    {.section = "grpo",
     .key = "average",
     .field = in<kGrpo, &G::average>,
     .meaning = "of losses: `answer_mean`: over an answer's tokens, then over answers (GRPO); `token_mean`: over all "
                "tokens (DAPO), for long answers; `constant`: their sum by `max_tokens` (Dr. GRPO), blind to length",
     .words = kAverages},
    {.section = "grpo",
     .key = "ratio",
     .field = in<kGrpo, &G::ratio>,
     .meaning =
         "of the policy to the one that sampled: `token`: of each token (GRPO); `sequence`: of the answer (GSPO), "
         "with bounds of a few 1e-4; `weighted`: a constant weight that drops no token (CISPO)",
     .words = kRatios},
    {.section = "grpo",
     .key = "clip_low",
     .field = in<kGrpo, &G::clip_low>,
     .meaning = "how far below 1 the ratio counts; none for `weighted`",
     .range = {0, 1}},
    {.section = "grpo",
     .key = "clip_high",
     .field = in<kGrpo, &G::clip_high>,
     .meaning = "how far above 1 it counts; DAPO takes 0.28, so that rare good tokens can rise",
     .range = {0, 100}},
    {.section = "grpo",
     .key = "off_policy_max",
     .field = in<kGrpo, &G::off_policy_max>,
     .meaning = "answers with an advantage below 0 whose log-ratio fell by more than this in the mean are left out "
                "(DeepSeek-V3.2), with several updates; 0: none is",
     .range = {0, 100}},
    {.section = "grpo",
     .key = "keep_routing",
     .field = in<kGrpo, &G::keep_routing>,
     .meaning = "every token keeps the experts that the rollout chose for it, and routers weigh them as they are now "
                "(DeepSeek-V3.2): for mixtures of experts with several updates"},
    {.section = "grpo",
     .key = "temperature",
     .field = in<kGrpo, &G::temperature>,
     .meaning =
         "of the rollout, and of the policy in training: above 1 where groups are all the same, below where answers "
         "fall apart",
     .range = {0.01, 100}},
    {.section = "grpo",
     .key = "top_k",
     .field = in<kGrpo, &G::top_k>,
     .meaning = "the rollout draws from so many tokens, and training is of the same ones (DeepSeek-V3.2); 0: from all",
     .range = {0, 1048576}},
    {.section = "grpo",
     .key = "top_p",
     .field = in<kGrpo, &G::top_p>,
     .meaning = "from the fewest that are so likely together, where rare tokens spoil long answers; 1: from all",
     .range = {0, 1, true}},
    {.section = "grpo",
     .key = "min_p",
     .field = in<kGrpo, &G::min_p>,
     .meaning = "from those at least so likely as a share of the likeliest, where the temperature is high; 0: from all",
     .range = {0, 1, false, true}},
    {.section = "grpo",
     .key = "kl_weight",
     .field = in<kGrpo, &G::kl_weight>,
     .meaning = "of the distance to the reference policy (R1: 0.001, GRPO: 0.04), where the model must not forget what "
                "is not rewarded; 0: there is no reference, as in DAPO",
     .range = {0, 100}},
    {.section = "grpo",
     .key = "kl",
     .field = in<kGrpo, &G::kl>,
     .meaning = "how the distance is estimated: `k3` (GRPO), or `unbiased` (DeepSeek-V3.2), whose gradient stays right "
                "where the policy has left the one that sampled",
     .words = kKls},
    {.section = "grpo",
     .key = "reference_every",
     .field = in<kGrpo, &G::reference_every>,
     .meaning =
         "steps after which the present weights become the reference (R1: 400), in long runs; 0: it is the start",
     .range = kCount},
    {.section = "grpo",
     .key = "at_once",
     .field = in<kGrpo, &G::at_once>,
     .meaning = "answers that are written together: more is faster and takes more memory",
     .range = {1, 4096},
     .decides_bits = false},

    {.section = "guard",
     .key = "clip_z",
     .field = in<kGuard, &GuardRecipe::clip_z>,
     .meaning = "above this the gradient is scaled down to the running mean",
     .range = {0, 1e9, true}},
    {.section = "guard",
     .key = "skip_z",
     .field = in<kGuard, &GuardRecipe::skip_z>,
     .meaning = "above this the step is skipped, and three in a row go back to the last checkpoint; at least `clip_z`",
     .range = {0, 1e9, true}},
    {.section = "guard",
     .key = "recheck_every",
     .field = in<kGuard, &GuardRecipe::recheck_every>,
     .meaning = "steps between two computations of one step, compared by hash: finds a machine that computes wrong; "
                "0: never",
     .range = kCount,
     .decides_bits = false},

    {.section = "checkpoint",
     .key = "every",
     .field = in<&Recipe::checkpoint, &CheckpointRecipe::every>,
     .meaning = "steps between checkpoints",
     .range = kCountFromOne,
     .decides_bits = false},
    {.section = "checkpoint",
     .key = "keep",
     .field = in<&Recipe::checkpoint, &CheckpointRecipe::keep>,
     .meaning = "how many of the newest stay, beside the best",
     .range = {1, 1000},
     .decides_bits = false},

    {.section = "validate",
     .key = "every",
     .field = in<&Recipe::validate, &ValidateRecipe::every>,
     .meaning = "steps between measurements; 0: only at the end",
     .range = kCount,
     .decides_bits = false},
    {.section = "validate",
     .key = "rows",
     .field = in<&Recipe::validate, &ValidateRecipe::rows>,
     .meaning = "packed rows that are measured, at most",
     .range = {1, 1048576},
     .decides_bits = false},
    {.section = "validate",
     .key = "problems",
     .field = in<&Recipe::validate, &ValidateRecipe::problems>,
     .meaning = "held-out problems that are asked, at most, where validation has problems: always the same ones",
     .range = {1, 65536},
     .decides_bits = false},
    {.section = "validate",
     .key = "samples",
     .field = in<&Recipe::validate, &ValidateRecipe::samples>,
     .meaning =
         "grpo: answers that are drawn to each of them, for pass@1 and pass@k, beside the likeliest one; 0: none",
     .range = {0, 64},
     .decides_bits = false},

    {.section = "sample",
     .key = "every",
     .field = in<kSample, &SampleRecipe::every>,
     .meaning = "steps between answers; 0: only before and after",
     .range = kCount,
     .decides_bits = false},
    {.section = "sample",
     .key = "prompts",
     .field = in<kSample, &SampleRecipe::prompts>,
     .meaning = "what is answered",
     .decides_bits = false},
    {.section = "sample",
     .key = "max_tokens",
     .field = in<kSample, &SampleRecipe::max_tokens>,
     .meaning = "the longest answer",
     .range = {1, 1048576},
     .decides_bits = false},
    {.section = "sample",
     .key = "temperature",
     .field = in<kSample, &SampleRecipe::temperature>,
     .meaning = "0: always the likeliest token",
     .range = {0, 1000},
     .decides_bits = false},
};

}  // namespace

std::span<const KeyRow> recipe_keys() {
  static const std::vector<KeyRow> all = [] {
    std::vector<KeyRow> keys(std::begin(kKeys), std::end(kKeys));
    std::ranges::copy(reward_keys(), std::back_inserter(keys));
    return keys;
  }();
  return all;
}

std::span<const SectionRow> recipe_sections() {
  return kSections;
}

}  // namespace naru::recipes
