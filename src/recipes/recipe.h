// Recipe: everything that decides the bits of a training run, as one TOML file says it (docs/recipes.md). Read and
// checked before anything else happens: an unknown key is refused with the nearest known one, a value out of its range
// with the range. Keys can be overridden as "section.key=value". The effective recipe (defaults filled in) is saved
// with the run and reads back as itself.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "contract/kinds.h"
#include "recipes/run_kind.h"

namespace naru::recipes {

// [model]: what is trained. Exactly one of `path` and `config`.
struct ModelRecipe {
  std::string path;           // a checkpoint to go on from: a Hugging Face folder or a .gguf file
  std::string config;         // a config.json: the weights are drawn from the seed
  std::string tokenizer;      // a folder with tokenizer.json; default: that of `path`
  std::string chat_template;  // a file with a Jinja template; default: that of the tokenizer
  std::string form;           // latent attention: "expanded" (default) or "latent"
  double init_std = 0.02;     // of drawn weights
  // Where `path` and `tokenizer` lead where they are names of pulled models, which whoever opens the recipe has found;
  // empty: to paths. No keys: the names alone say which run it is.
  std::filesystem::path pulled_path, pulled_tokenizer;
};

// [[data]] and [[validation]]: a source of documents.
struct SourceRecipe {
  std::string path;       // of a file: .txt (one document), .jsonl with "text", or with "messages"; or a folder of them
  std::string generator;  // a built-in generator instead of a path: "digits", "countdown", "word_problems"
  double weight = 1;      // share of the rows that come from this source
  int64_t documents = 0;  // of a generator: how many different ones; 0: its default
  std::string language;   // of word_problems and countdown: "en", "ko", "zh", "all", or "" for their default
  std::string trace;      // of generators with solutions: "short", "long", "mixed", "think"
  int64_t numbers = 0;    // of countdown: 3 or 4; 0: either
  // Where `path` leads where it is the name of a pipeline's stage, whose samples these are; no key, and empty
  // elsewhere.
  std::filesystem::path samples_path = {};
};

// [[teacher]]: a model that a distill run learns from (train/teacher.h).
struct TeacherRecipe {
  // A Hugging Face folder, a .gguf file, or the name of a pulled model. The one place of the teacher: a pipeline that
  // takes it from another stage writes that here and where it lies in pulled_path, as in ModelRecipe.
  std::string path;
  double weight = 1;                  // how often its distance counts in the sum
  std::filesystem::path pulled_path;  // no key: where path leads where it is a name; empty: to a path
  // No keys, and read by Trainer::plan_run() alone: the config.json of a teacher that is not there yet, and where the
  // tokenizer is that it will have.
  std::filesystem::path planned_config, planned_tokenizer;
};

// [[reward]]: a part of what answers are worth, of a run with rollouts or of rejection (rewards/judge.h).
struct RewardRecipe {
  std::string kind = "answer";  // "answer", "format", "language", "length" or "program"
  std::string name;             // in metrics, behind "reward_"; "": its kind
  double weight = 1;            // 0: it is only watched
  // "answer": where it stands and how it is compared with the problem's.
  std::string find;           // "verifier", "whole", "last_line", "boxed", "mark" or "number"; "": as is usual
  std::string compare;        // "text" or "number"; "": as the problem's answer is
  bool strict = false;        // right only where the format is, too
  std::string tag = "think";  // of reasoning, <think> ... </think>: "answer" and "format"
  int64_t tokens = 0;         // "length": so many cost nothing
  // "program"
  std::vector<std::string> command;  // the program and its arguments; no shell
  int64_t processes = 2;             // at work together
  double seconds = 10;               // for one answer
  int64_t memory_mib = 4096;         // address space of a process; 0: any
  double failure_reward = 0;         // of an answer that it gave no reward for
};
// The part's name in metrics, without "reward_".
inline const std::string& reward_name(const RewardRecipe& reward) {
  return reward.name.empty() ? reward.kind : reward.name;
}

// [batch]
struct BatchRecipe {
  int64_t context = 512;         // tokens of one packed row
  int64_t rows = 16;             // rows of a step
  int64_t micro_rows = 4;        // rows of a micro-batch; part of the arithmetic
  int64_t groups = 8;            // of micro-batches, absolute (docs/arithmetic.md section 7)
  std::string overlong = "cut";  // a document longer than the context: "cut" into pieces (text), "drop"
};

// [optimizer]
struct OptimizerRecipe {
  std::string kind = "adamw";  // "adamw" or "muon" (matrices; everything else by adamw)
  double lr = 1e-3;
  double beta1 = 0.9;
  double beta2 = 0.95;
  double eps = 1e-8;
  double weight_decay = 0.1;      // of matrices; never of norms and biases
  bool decay_embeddings = false;  // whether embedding and head decay too
  double clip_norm = 1.0;         // of the global gradient; 0: none
  double momentum = 0.95;         // muon
};

// [schedule]: the learning rate's factor over the steps.
struct ScheduleRecipe {
  std::string kind = "cosine";  // "constant", "linear", "cosine", "wsd" (warm-up, stable, decay)
  int64_t warmup_steps = 0;
  int64_t decay_steps = 0;    // of wsd: the last steps
  double final_factor = 0.1;  // where linear, cosine and wsd end
};

// [loss]
struct LossRecipe {
  double bias_update = 0.001;  // V3's routing bias, per step; 0: off
  double balance = 1e-4;       // V3's sequence-wise balance loss; 0: off
  double mtp = 0;              // weight of the prediction layers' losses together; 0: off
};

// All matrices of the model's layers that can have an adapter.
inline constexpr std::string_view kAllTargets = "all";

// [lora]: absent (rank 0) trains all weights.
struct LoraRecipe {
  int64_t rank = 0;
  double alpha = 16;
  std::vector<std::string> targets = {std::string(kAllTargets)};
};

// The answers that a run learns from, which its model writes: what [grpo] and [distill] have alike.
struct RolloutRecipe {
  int64_t prompts = 32;                 // problems of a rollout
  int64_t answers = 16;                 // to each problem
  int64_t updates = 1;                  // steps on a rollout, each on a part of its problems
  int64_t max_tokens = 256;             // of an answer
  std::string average = "answer_mean";  // of losses: "answer_mean", "token_mean" or "constant"
  double temperature = 1;               // answers are drawn from softmax(logits / temperature) over what is kept
  int64_t top_k = 0;                    // 0: all
  double top_p = 1;                     // 1: all
  double min_p = 0;                     // 0: all
  int64_t at_once = 64;                 // answers that are written together; changes no bit
};

// [grpo]: of a run of this kind. What its terms are, by formula: train/policy_loss.h. Training is of the distribution
// that answers are drawn from. The answers to a problem are a group.
struct GrpoRecipe : RolloutRecipe {
  int64_t rounds = 1;                   // at most: problems are asked again in place of those without a signal
  int64_t soft_tokens = 0;              // of the longest answers: each costs reward, down to -1 at max_tokens; 0: none
  std::string advantage = "group_std";  // "group_std" or "group_mean"
  std::string ratio = "token";          // "token", "sequence" or "weighted"
  double clip_low = 0.2, clip_high = 0.2;  // how far the ratio counts below and above 1
  double off_policy_max = 0;    // answers of advantage below 0 whose mean log-ratio fell further are left out; 0: none
  bool keep_routing = false;    // later updates take the experts of the rollout
  bool share_prompts = true;    // answers to one prompt in a micro-batch have its rows once
  double kl_weight = 0;         // of the distance to the reference; 0: there is none
  std::string kl = "k3";        // its estimator: "k3" or "unbiased"
  int64_t reference_every = 0;  // steps after which the present weights become the reference; 0: always the first ones
};

// [distill]: of a run of this kind. Its loss is at every token of an answer the reverse KL to the teachers over the
// whole vocabulary (train/reverse_kl.h), whatever the answer was drawn with.
struct DistillRecipe : RolloutRecipe {
  DistillRecipe() {
    answers = 4;
    average = "token_mean";
  }
};

// [rejection]: of a run of this kind: what is drawn, and which answers become training data (samples/filters.h).
struct RejectionRecipe {
  int64_t problems = 0;      // asked in all, dealt by the weights of the sources; 0: all of all sources, each once
  int64_t answers = 8;       // drawn to each
  int64_t max_tokens = 256;  // of an answer; one that ends there is cut off, and dropped
  double temperature = 1;
  int64_t top_k = 0;  // 0: all
  double top_p = 1;   // 1: all
  double min_p = 0;   // 0: all
  std::string ask;    // "chat" or "text"; "": by the chat template where the model has one, else as text
  std::string form;   // of lines: "messages" or "text"; "": as problems were asked
  // What is kept.
  bool right = true;                             // right answers only
  double reward_low = -1e9;                      // the least reward
  double language_low = 0.9;                     // the least share of words in the question's language
  int64_t tokens_low = 1, tokens_high = 0;       // its length; high 0: max_tokens
  double repetition_high = 0.5;                  // the largest share of tokens that only repeat what came before
  bool deduplicate = true;                       // of equal answers to equal questions the first
  double pass_rate_low = 0, pass_rate_high = 1;  // of a problem: the share of its answers that are right
  int64_t keep = 0;                              // of a problem at most, the best by reward; 0: all
  int64_t at_once = 64;                          // answers that are written together; changes no bit
};

// [guard]
struct GuardRecipe {
  double clip_z = 2.5;        // z-score of the gradient norm above which it is clipped to its running mean
  double skip_z = 6;          // above which the step is skipped; three in a row roll back
  int64_t recheck_every = 0;  // of every so many steps one is computed until two results are alike; 0: never
};

// [checkpoint], [validate], [sample]
struct CheckpointRecipe {
  int64_t every = 100;  // steps
  int64_t keep = 2;     // beside the best
};
struct ValidateRecipe {
  int64_t every = 100;     // steps; 0: only at the end
  int64_t rows = 64;       // packed rows of the validation sources, at most
  int64_t problems = 100;  // held-out problems that are asked, at most
  int64_t samples = 4;     // answers drawn to each, of grpo; 0: the greedy answer alone
};
struct SampleRecipe {
  int64_t every = 0;  // steps; 0: only before and after
  std::vector<std::string> prompts;
  int64_t max_tokens = 64;
  double temperature = 0;
};

struct Recipe {
  std::string name;  // of the run; default: the file's name without .toml
  RunKind kind = RunKind::kPretrain;
  uint64_t seed = 1;
  int64_t steps = 0;  // exactly one of steps and epochs is > 0
  double epochs = 0;
  contract::ComputeMode compute = contract::ComputeMode::kF32;  // f32 or bf16
  bool recompute = false;  // keep a layer's input only and run it again backwards; changes no bit
  std::string output;      // folder of the run; default: runs/NAME
  ModelRecipe model;
  std::vector<SourceRecipe> data;
  std::vector<SourceRecipe> validation;
  std::vector<RewardRecipe> reward;  // none: whether the answer is right
  BatchRecipe batch;
  OptimizerRecipe optimizer;
  ScheduleRecipe schedule;
  LossRecipe loss;
  LoraRecipe lora;
  GrpoRecipe grpo;
  RejectionRecipe rejection;
  DistillRecipe distill;
  std::vector<TeacherRecipe> teacher;
  GuardRecipe guard;
  CheckpointRecipe checkpoint;
  ValidateRecipe validate;
  SampleRecipe sample;
};

inline constexpr int64_t kGrpoAnswersMax = 65536;             // of a rollout, of any kind of run
inline constexpr int64_t kRejectionProblemsMax = 1'000'000;   // of a run
inline constexpr int64_t kRejectionAnswersMax = 1024;         // to one problem
inline constexpr int64_t kRecipeBytesMax = int64_t{1} << 20;  // bytes of a recipe file

// Paths in the recipe stay as written; resolved_path() says where they lead.
Result<Recipe> parse_recipe(std::string_view toml, std::string_view name, const std::vector<std::string>& overrides);
Result<Recipe> read_recipe(const std::filesystem::path& path, const std::vector<std::string>& overrides);

// Of a path in a recipe: relative ones count from the recipe's folder, ~/ is the user's home.
std::filesystem::path resolved_path(const std::string& path, const std::filesystem::path& recipe_folder);
// Of model.path; of model.tokenizer, which is model.path where it is not given; "" where neither is.
std::filesystem::path model_place(const ModelRecipe& model, const std::filesystem::path& recipe_folder);
std::filesystem::path tokenizer_place(const ModelRecipe& model, const std::filesystem::path& recipe_folder);
// Of the path of a source.
std::filesystem::path source_place(const SourceRecipe& source, const std::filesystem::path& recipe_folder);
std::filesystem::path teacher_place(const TeacherRecipe& teacher, const std::filesystem::path& recipe_folder);

// Of a run that has rollouts: what they are, and the most rounds of one.
inline const RolloutRecipe& rollout_of(const Recipe& recipe) {
  if (recipe.kind == RunKind::kDistill) return recipe.distill;
  return recipe.grpo;
}
inline int64_t rollout_rounds(const Recipe& recipe) {
  return recipe.kind == RunKind::kGrpo ? recipe.grpo.rounds : 1;
}

// The whole recipe as TOML, every key written out; parse_recipe gives the same recipe back.
std::string recipe_text(const Recipe& recipe);

// Every key that decides bits and differs, or list of sources that has another length, with both values as TOML.
struct KeyDifference {
  std::string path;  // "optimizer.lr", or "[[data]]"
  std::string there, here;
};
std::vector<KeyDifference> recipe_differences(const Recipe& there, const Recipe& here);

// The first of them, as "optimizer.lr is 0.001 there and 0.002 here"; nothing where both recipes make the same run.
// What only watches a run or stores it (output, checkpoint, validation, sample) may differ.
std::optional<std::string> recipe_difference(const Recipe& there, const Recipe& here);

// SHA-256 of those keys that decide bits and are not what they are by default: equal where recipe_difference finds
// nothing, and the same again when a later version knows more keys.
std::string recipe_identity(const Recipe& recipe);

}  // namespace naru::recipes
