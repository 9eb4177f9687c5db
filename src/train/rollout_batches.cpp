#include "train/rollout_batches.h"

#include <fmt/format.h>

#include <algorithm>

#include "contract/cache.h"
#include "runs/run_files.h"
#include "train/micro_sums.h"
#include "train/peers.h"

namespace naru::train {
namespace {

constexpr int64_t kProblemsLookedAt = 2000;  // whether their prompts leave room, before the run

AdvantageKind advantage_kind(const recipes::GrpoRecipe& grpo) {
  return grpo.advantage == "group_mean" ? AdvantageKind::kGroupMean : AdvantageKind::kGroupStd;
}

Averaging averaging(const recipes::GrpoRecipe& grpo) {
  if (grpo.average == "token_mean") return Averaging::kTokenMean;
  return grpo.average == "constant" ? Averaging::kConstant : Averaging::kAnswerMean;
}

}  // namespace

rewards::JudgeCall judge_call(const ModelNow& now) {
  rewards::JudgeCall call{.should_stop = now.should_stop, .note = now.note};
  if (!now.run_folder.empty()) call.store = now.run_folder / runs::kRewardsFile;
  if (now.peers == nullptr || now.peers->count() == 1) return call;
  call.is_asking = now.peers->rank() == 0;
  call.say_to_all = [peers = now.peers](std::string text) { return say_to_all(*peers, std::move(text)); };
  return call;
}

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
                                                             const TrainingModelFiles& files,
                                                             const std::filesystem::path& recipe_folder,
                                                             std::shared_ptr<rewards::Judge> judge) {
  NARU_ASSIGN(data::ProblemSource problems,
              data::ProblemSource::open(recipe.data[0], recipe.seed, data::Split::kTrain, recipe_folder,
                                        rewards::needs_answers(recipe.reward)));
  return std::unique_ptr<RolloutBatches>(new RolloutBatches(recipe, files, std::move(problems), std::move(judge)));
}

// Problems of a generator are made when they are asked for: what their texts are is told by the first rollout's.
data::StreamRecord RolloutBatches::record() const {
  data::StreamRecord record = problems_.record(recipe_->grpo.prompts);
  data::add_files(record, judge_->files());
  return record;
}

int64_t RolloutBatches::steps_per_epoch() const {
  return std::max<int64_t>(1, problems_.size() * recipe_->grpo.updates / recipe_->grpo.prompts);
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
  const int64_t n_looked_at =
      std::min(n_rollouts * grpo.prompts, problems_.is_file() ? problems_.size() : kProblemsLookedAt);
  const int64_t rows = recipe_->batch.context * recipe_->batch.micro_rows;
  int64_t shortest = recipe_->batch.context;
  for (int64_t i = 0; i < n_looked_at; ++i) {
    const data::Problem problem = problems_.at(i);
    NARU_ASSIGN(const text::ChatPrompt prompt, problem_prompt(*recipe_, *files_, problem));
    shortest = std::min<int64_t>(shortest, std::ssize(prompt.ids) + 1);
    NARU_TRY(check_room(prompt.ids, problem.generator ? std::to_string(i) : problem.key));
  }
  const int64_t answers = std::min(recipe_->grpo.prompts * recipe_->grpo.answers, rows / shortest + 1);
  return TrainingRoom{.rows = rows, .pages = rows / contract::kCachePage + answers, .documents = answers};
}

// Answers as they were sampled, as batches, as the batch of the step, and as bytes for a checkpoint.
int64_t RolloutBatches::held_bytes() const {
  constexpr int64_t kBytesOfToken = 8 + 3 * 28;
  return problems_.held_bytes() +
         recipe_->grpo.prompts * recipe_->grpo.answers * recipe_->batch.context * kBytesOfToken;
}

Result<std::vector<AnswerGroup>> RolloutBatches::ask(int64_t first, int64_t n, const ModelNow& now) const {
  auto groups = ask_alone(first, n, now);
  if (now.peers == nullptr || !judge_->has_programs()) return groups;
  // What one process asks programs for, the others wait for.
  const auto agreed = gather_sums(*now.peers, {}, groups.ok() ? Status() : Status(groups.error()));
  if (!agreed.ok()) return agreed.error();
  return groups;
}

// Problems first, first + 1, ... with answers of the present weights.
Result<std::vector<AnswerGroup>> RolloutBatches::ask_alone(int64_t first, int64_t n, const ModelNow& now) const {
  const recipes::GrpoRecipe& grpo = recipe_->grpo;
  std::vector<AnswerGroup> groups(static_cast<size_t>(n));
  std::vector<std::vector<int32_t>> prompts;
  for (int64_t i = 0; i < n; ++i) {
    AnswerGroup& group = groups[static_cast<size_t>(i)];
    group.number = first + i;
    group.problem = problems_.at(group.number);
    NARU_ASSIGN(text::ChatPrompt prompt, problem_prompt(*recipe_, *files_, group.problem));
    group.begins_in_reasoning = prompt.opens_reasoning;
    prompts.push_back(std::move(prompt.ids));
    NARU_TRY(check_room(prompts.back(), group.problem.generator ? std::to_string(group.number) : group.problem.key));
  }
  NARU_ASSIGN(Rollout* const rollout, now.rollout());
  NARU_ASSIGN(std::vector<SampledAnswer> answers,
              rollout->sample(prompts, {.answers = grpo.answers,
                                        .max_tokens = grpo.max_tokens,
                                        .first = static_cast<uint32_t>(first * grpo.answers),
                                        .should_stop = now.should_stop}));
  for (size_t i = 0; i < answers.size(); ++i) {
    AnswerGroup& group = groups[i / static_cast<size_t>(grpo.answers)];
    group.texts.push_back(rollout->text_of(answers[i].ids));
    group.answers.push_back(std::move(answers[i]));
  }
  return groups;
}

Status RolloutBatches::judge(std::vector<AnswerGroup>& groups, const ModelNow& now) const {
  std::vector<rewards::JudgedText> texts;
  for (const AnswerGroup& group : groups) {
    for (size_t k = 0; k < group.answers.size(); ++k) {
      texts.push_back({.problem = &group.problem,
                       .answer = group.texts[k],
                       .n_tokens = std::ssize(group.answers[k].ids),
                       .is_cut = group.answers[k].is_cut,
                       .begins_in_reasoning = group.begins_in_reasoning});
    }
  }
  NARU_ASSIGN(std::vector<rewards::Judgement> judgements, judge_->judge(texts, judge_call(now)));
  size_t at = 0;
  for (AnswerGroup& group : groups) {
    std::vector<double> rewards;
    for (size_t k = 0; k < group.answers.size(); ++k) {
      rewards.push_back(judgements[at].reward);
      group.judgements.push_back(std::move(judgements[at++]));
    }
    group.advantages = group_advantages(advantage_kind(recipe_->grpo), rewards);
  }
  return {};
}

Status RolloutBatches::roll(int64_t index, const ModelNow& now) {
  const recipes::GrpoRecipe& grpo = recipe_->grpo;
  NARU_ASSIGN(std::vector<AnswerGroup> groups, ask(index * grpo.prompts, grpo.prompts, now));
  NARU_TRY(judge(groups, now));
  metrics_ = rollout_metrics(groups, judge_->names());
  std::vector<std::vector<JudgedAnswer>> by_update(static_cast<size_t>(grpo.updates));
  for (size_t i = 0; i < groups.size(); ++i) {
    auto& update = by_update[i * static_cast<size_t>(grpo.updates) / groups.size()];
    for (size_t k = 0; k < groups[i].answers.size(); ++k) {
      update.push_back({std::move(groups[i].answers[k]), groups[i].advantages[k]});
    }
  }
  batches_.clear();
  for (int64_t u = 0; u < grpo.updates; ++u) {
    batches_.push_back(answer_batch(by_update[static_cast<size_t>(u)], averaging(grpo), grpo.max_tokens,
                                    recipe_->batch.context * recipe_->batch.micro_rows, u == 0));
  }
  index_ = index;
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
