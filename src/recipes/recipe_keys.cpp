// The table of a recipe's keys, in the order in which they are written and documented.
#include <array>

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
constexpr std::array<std::string_view, 4> kSchedules = {"constant", "linear", "cosine", "wsd"};
constexpr std::array<std::string_view, 12> kTargets = {
    kAllTargets,          "q_proj",   "k_proj",    "v_proj",   "o_proj",
    "gate_proj",          "up_proj",  "down_proj", "q_a_proj", "q_b_proj",
    "kv_a_proj_with_mqa", "kv_b_proj"};

using M = ModelRecipe;
using S = SourceRecipe;
using B = BatchRecipe;
using O = OptimizerRecipe;
constexpr auto kModel = &Recipe::model;
constexpr auto kData = &Recipe::data;
constexpr auto kValidation = &Recipe::validation;
constexpr auto kBatch = &Recipe::batch;
constexpr auto kOptimizer = &Recipe::optimizer;
constexpr auto kSchedule = &Recipe::schedule;
constexpr auto kLoss = &Recipe::loss;
constexpr auto kLora = &Recipe::lora;
constexpr auto kGuard = &Recipe::guard;
constexpr auto kSample = &Recipe::sample;

constexpr std::string_view kPathMeaning =
    "a `.txt` file (one document), a `.jsonl` file (texts, messages, ShareGPT, Alpaca, prompts with completions: "
    "[data.md](data.md)), a `.json` array of the same, or a folder of them; of `grpo`, `distill` and `rejection` a "
    "`.jsonl` file of problems ([rewards.md](rewards.md))";
constexpr std::string_view kGeneratorMeaning = "a built-in generator instead of a path";
constexpr std::string_view kWeightMeaning =
    "share of the rows (of runs that ask problems: of the problems) that come from this source, against the other "
    "weights";
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
                "on answers of the model's own; `rejection`: no training, answers of the model's own are kept as data "
                "where they are good; `distill`: on answers of its own it learns what teachers would say",
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

};

constexpr KeyRow kKeysBehindGrpo[] = {
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
     .meaning =
         "every so many steps gradient and update are computed until two results are alike, and others count for "
         "nothing: for chips that are wrong now and then (docs/training.md); 0: never",
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
     .meaning =
         "held-out problems that are asked, at most, where validation has problems: always the same ones; 0: none",
     .range = {0, 65536},
     .decides_bits = false},
    {.section = "validate",
     .key = "samples",
     .field = in<&Recipe::validate, &ValidateRecipe::samples>,
     .meaning =
         "grpo and distill: answers that are drawn to each of them, for pass@1 and pass@k, beside the likeliest one; "
         "0: none",
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

// The order is part of a recipe's identity (recipe_identity.cpp).
std::span<const KeyRow> recipe_keys() {
  static const std::vector<KeyRow> all = [] {
    std::vector<KeyRow> keys;
    for (const std::span<const KeyRow> part :
         {std::span<const KeyRow>(kKeys), grpo_keys(), std::span<const KeyRow>(kKeysBehindGrpo), rejection_keys(),
          reward_keys(), distill_keys()}) {
      keys.insert(keys.end(), part.begin(), part.end());
    }
    return keys;
  }();
  return all;
}

}  // namespace naru::recipes
