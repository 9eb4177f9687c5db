#include "train/rollout_batches.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <numeric>

#include "base/sha256.h"
#include "contract/cache.h"

namespace naru::train {
namespace {

constexpr int64_t kProblemsLookedAt = 2000;  // whether their prompts leave room, before the run

// A soft bound on length (DAPO): nothing up to it, then falling to -1 at the longest answer.
double length_reward(int64_t n_tokens, const recipes::GrpoRecipe& grpo) {
  if (grpo.soft_tokens == 0 || n_tokens <= grpo.max_tokens - grpo.soft_tokens) return 0;
  return -static_cast<double>(n_tokens - (grpo.max_tokens - grpo.soft_tokens)) / static_cast<double>(grpo.soft_tokens);
}

AdvantageKind advantage_kind(const recipes::GrpoRecipe& grpo) {
  return grpo.advantage == "group_mean" ? AdvantageKind::kGroupMean : AdvantageKind::kGroupStd;
}

Averaging averaging(const recipes::GrpoRecipe& grpo) {
  if (grpo.average == "token_mean") return Averaging::kTokenMean;
  return grpo.average == "constant" ? Averaging::kConstant : Averaging::kAnswerMean;
}

// What a rollout was like, summed over its answers.
struct RolloutTotals {
  double reward = 0, right = 0, tokens = 0, cut = 0, log_prob = 0, flat_groups = 0;

  void add(const SampledAnswer& answer, bool is_right) {
    right += is_right ? 1 : 0;
    cut += answer.is_cut ? 1 : 0;
    tokens += static_cast<double>(answer.ids.size());
    for (const float p : answer.log_probs) log_prob += static_cast<double>(p);
  }
};

}  // namespace

PolicyOptions policy_options(const recipes::Recipe& recipe) {
  const recipes::GrpoRecipe& grpo = recipe.grpo;
  PolicyOptions options;
  options.form = grpo.ratio == "sequence"   ? PolicyForm::kSequence
                 : grpo.ratio == "weighted" ? PolicyForm::kWeighted
                                            : PolicyForm::kToken;
  options.clip_low = grpo.clip_low;
  options.clip_high = grpo.clip_high;
  if (grpo.off_policy_max > 0) options.off_policy_max = grpo.off_policy_max;
  return options;
}

Result<std::unique_ptr<RolloutBatches>> RolloutBatches::open(const recipes::Recipe& recipe,
                                                             const TrainingModelFiles& files) {
  std::unique_ptr<RolloutBatches> batches(new RolloutBatches(recipe, files));
  NARU_ASSIGN(batches->generator_, data::generator_options(recipe.data[0]));
  return batches;
}

data::Problem RolloutBatches::problem(int64_t rollout, int64_t i) const {
  const int64_t index =
      (rollout * recipe_->grpo.prompts + i) % documents_of_generator(recipe_->data[0], data::Split::kTrain);
  return data::make_problem(generator_, recipe_->seed, index, data::Split::kTrain);
}

data::StreamRecord RolloutBatches::record() const {
  const recipes::SourceRecipe& source = recipe_->data[0];
  data::StreamRecord record;
  const std::string said =
      fmt::format("{} {} {} {}\n", source.generator, source.documents, source.language, source.trace);
  record.sources_sha256 = sha256_hex(as_bytes(said));
  record.n_documents = documents_of_generator(source, data::Split::kTrain);
  // Problems are made when they are asked for: what their texts are is told by the first rollout's.
  Sha256 hash;
  for (int64_t i = 0; i < recipe_->grpo.prompts; ++i) {
    const data::Problem one = problem(0, i);
    hash.update(as_bytes(fmt::format("{}\n{}\n{}\n", one.key, one.prompt, one.text_prompt)));
  }
  hash.update(as_bytes(said));
  record.documents_sha256 = hash.finish_hex();
  record.files_sha256 = Sha256().finish_hex();
  return record;
}

int64_t RolloutBatches::steps_per_epoch() const {
  const int64_t n = documents_of_generator(recipe_->data[0], data::Split::kTrain);
  return std::max<int64_t>(1, n * recipe_->grpo.updates / recipe_->grpo.prompts);
}

bool RolloutBatches::has_conversations() const {
  return is_asked_as_chat(*recipe_, *files_);
}

Status RolloutBatches::check_room(std::span<const int32_t> prompt, std::string_view of) const {
  const int64_t wanted = std::ssize(prompt) + recipe_->grpo.max_tokens;
  if (wanted <= recipe_->batch.context) return {};
  return Error{Code::kInvalidArgument,
               fmt::format("planning the rollouts: the prompt of problem {} has {} tokens and its answer up to {} "
                           "(grpo.max_tokens), batch.context is {}, room for both was wanted; raise batch.context or "
                           "lower grpo.max_tokens",
                           of, prompt.size(), recipe_->grpo.max_tokens, recipe_->batch.context)};
}

// Micro-batches are filled with whole answers; how many, the model decides, so this is what short ones take.
Result<TrainingRoom> RolloutBatches::largest(int64_t n_steps) {
  const recipes::GrpoRecipe& grpo = recipe_->grpo;
  const int64_t n_rollouts = ceil_div(n_steps, grpo.updates);
  if (n_rollouts > UINT32_MAX / (grpo.prompts * grpo.answers)) {
    return Error{
        Code::kInvalidArgument,
        fmt::format("planning the rollouts: {} rollouts of {} x {} answers have no numbers of their own, at most "
                    "{} answers of a run were wanted; train fewer steps, or with smaller groups",
                    n_rollouts, grpo.prompts, grpo.answers, UINT32_MAX)};
  }
  if (files_->config.max_positions > 0 && recipe_->batch.context > files_->config.max_positions) {
    return Error{Code::kInvalidArgument,
                 fmt::format("planning the rollouts: batch.context is {}, and the model was made for {} tokens; lower "
                             "batch.context",
                             recipe_->batch.context, files_->config.max_positions)};
  }
  const int64_t n_looked_at = std::min(n_rollouts * grpo.prompts, kProblemsLookedAt);
  const int64_t rows = recipe_->batch.context * recipe_->batch.micro_rows;
  int64_t shortest = recipe_->batch.context;
  for (int64_t i = 0; i < n_looked_at; ++i) {
    NARU_ASSIGN(const std::vector<int32_t> ids, prompt_ids(*recipe_, *files_, problem(0, i)));
    shortest = std::min<int64_t>(shortest, std::ssize(ids) + 1);
    NARU_TRY(check_room(ids, std::to_string(i)));
  }
  const int64_t answers = std::min(recipe_->grpo.prompts * recipe_->grpo.answers, rows / shortest + 1);
  return TrainingRoom{.rows = rows, .pages = rows / contract::kCachePage + answers, .documents = answers};
}

// Answers as they were sampled, as batches, as the batch of the step, and as bytes for a checkpoint.
int64_t RolloutBatches::held_bytes() const {
  constexpr int64_t kBytesOfToken = 8 + 3 * 28;
  return recipe_->grpo.prompts * recipe_->grpo.answers * recipe_->batch.context * kBytesOfToken;
}

Status RolloutBatches::roll(int64_t index, const ModelNow& now) {
  const recipes::GrpoRecipe& grpo = recipe_->grpo;
  std::vector<data::Problem> problems;
  std::vector<std::vector<int32_t>> prompts;
  for (int64_t i = 0; i < grpo.prompts; ++i) {
    problems.push_back(problem(index, i));
    NARU_ASSIGN(prompts.emplace_back(), prompt_ids(*recipe_, *files_, problems.back()));
    NARU_TRY(check_room(prompts.back(), fmt::format("{} of rollout {}", i, index)));
  }
  NARU_ASSIGN(Rollout* const rollout, now.rollout());
  const auto begin = std::chrono::steady_clock::now();
  NARU_ASSIGN(std::vector<SampledAnswer> answers,
              rollout->sample(prompts, {.answers = grpo.answers,
                                        .max_tokens = grpo.max_tokens,
                                        .first = static_cast<uint32_t>(index * grpo.prompts * grpo.answers),
                                        .should_stop = now.should_stop}));
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  std::vector<std::vector<JudgedAnswer>> by_update(static_cast<size_t>(grpo.updates));
  RolloutTotals totals;
  for (int64_t i = 0; i < grpo.prompts; ++i) {
    std::vector<double> rewards;
    for (int64_t k = 0; k < grpo.answers; ++k) {
      const SampledAnswer& answer = answers[static_cast<size_t>(i * grpo.answers + k)];
      const bool is_right = data::verify(problems[static_cast<size_t>(i)], rollout->text_of(answer.ids)).is_right;
      totals.add(answer, is_right);
      rewards.push_back((is_right ? 1.0 : 0.0) + length_reward(std::ssize(answer.ids), grpo));
      totals.reward += rewards.back();
    }
    const std::vector<double> advantages = group_advantages(advantage_kind(grpo), rewards);
    const bool is_flat = std::all_of(advantages.begin(), advantages.end(), [](double a) { return a == 0; });
    totals.flat_groups += is_flat ? 1 : 0;
    auto& update = by_update[static_cast<size_t>(i * grpo.updates / grpo.prompts)];
    for (int64_t k = 0; k < grpo.answers; ++k) {
      update.push_back(
          {std::move(answers[static_cast<size_t>(i * grpo.answers + k)]), advantages[static_cast<size_t>(k)]});
    }
  }
  batches_.clear();
  for (int64_t u = 0; u < grpo.updates; ++u) {
    batches_.push_back(answer_batch(by_update[static_cast<size_t>(u)], averaging(grpo), grpo.max_tokens,
                                    recipe_->batch.context * recipe_->batch.micro_rows, u == 0));
  }
  index_ = index;
  const auto n = static_cast<double>(grpo.prompts * grpo.answers);
  metrics_ = {{"reward", totals.reward / n},
              {"rollout_accuracy", totals.right / n},
              {"answer_tokens", totals.tokens / n},
              {"cut_share", totals.cut / n},
              {"flat_groups", totals.flat_groups / static_cast<double>(grpo.prompts)},
              {"answer_log_prob", totals.log_prob / std::max(1.0, totals.tokens)},
              {"rollout_seconds", seconds},
              {"rollout_tokens_per_s", totals.tokens / std::max(seconds, 1e-9)}};
  return {};
}

Result<data::StepBatch> RolloutBatches::step(int64_t step, const ModelNow& now) {
  const int64_t index = step / recipe_->grpo.updates;
  if (index != index_) NARU_TRY(roll(index, now));
  return batches_[static_cast<size_t>(step % recipe_->grpo.updates)];
}

std::vector<std::pair<std::string, double>> RolloutBatches::metrics(int64_t step) const {
  const bool is_first = step % recipe_->grpo.updates == 0;
  return is_first && step / recipe_->grpo.updates == index_ ? metrics_ : std::vector<std::pair<std::string, double>>();
}

std::string RolloutBatches::kept(int64_t next_step) const {
  const bool is_left = next_step % recipe_->grpo.updates != 0 && next_step / recipe_->grpo.updates == index_;
  return is_left ? batches_to_bytes(index_, batches_) : std::string();
}

Status RolloutBatches::restore(int64_t step, std::string_view kept) {
  index_ = -1;
  batches_.clear();
  metrics_.clear();
  if (kept.empty()) return {};
  NARU_ASSIGN(KeptBatches bytes, batches_from_bytes(kept, files_->config.vocab));
  if (std::ssize(bytes.batches) != recipe_->grpo.updates || bytes.index != step / recipe_->grpo.updates) {
    return Error{
        Code::kCorrupt,
        fmt::format("resuming at step {}: the checkpoint keeps rollout {} of {} updates, rollout {} of {} was "
                    "wanted; it is of another run: start in a new output folder, or move this checkpoint away",
                    step, bytes.index, bytes.batches.size(), step / recipe_->grpo.updates, recipe_->grpo.updates)};
  }
  index_ = bytes.index;
  batches_ = std::move(bytes.batches);
  return {};
}

}  // namespace naru::train
