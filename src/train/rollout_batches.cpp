#include "train/rollout_batches.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "contract/cache.h"
#include "runs/run_files.h"
#include "train/kept_routing.h"
#include "train/micro_sums.h"
#include "train/peers.h"

namespace naru::train {
namespace {

constexpr int64_t kProblemsLookedAt = 2000;  // whether their prompts leave room, before the run

AdvantageKind advantage_kind(const recipes::GrpoRecipe& grpo) {
  return grpo.advantage == "group_mean" ? AdvantageKind::kGroupMean : AdvantageKind::kGroupStd;
}

Averaging averaging(const recipes::RolloutRecipe& rollout) {
  if (rollout.average == "token_mean") return Averaging::kTokenMean;
  return rollout.average == "constant" ? Averaging::kConstant : Averaging::kAnswerMean;
}

// What compares answers of a group, and an estimate of what is known exactly where rows of logits are read.
bool is_of_groups(const std::pair<std::string, double>& metric) {
  return metric.first == "flat_groups" || metric.first == "problems_asked" || metric.first == "entropy";
}

// Of a group and its reference; both are of grpo alone.
bool keeps_routing(const recipes::Recipe& recipe) {
  return recipe.kind == recipes::RunKind::kGrpo && recipe.grpo.keep_routing;
}
bool has_reference(const recipes::Recipe& recipe) {
  return recipe.kind == recipes::RunKind::kGrpo && recipe.grpo.kl_weight > 0;
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
  options.temperature = grpo.temperature;
  options.kl_weight = grpo.kl_weight;
  options.kl = grpo.kl == "unbiased" ? KlEstimator::kUnbiased : KlEstimator::kK3;
  options.clip_low = grpo.clip_low;
  options.clip_high = grpo.clip_high;
  if (grpo.off_policy_max > 0) options.off_policy_max = grpo.off_policy_max;
  return options;
}

Result<std::unique_ptr<RolloutBatches>> RolloutBatches::open(const recipes::Recipe& recipe,
                                                             const TrainingModelFiles& files,
                                                             const std::filesystem::path& recipe_folder,
                                                             std::shared_ptr<rewards::Judge> judge,
                                                             std::vector<data::DataFile> more_files) {
  if (keeps_routing(recipe)) NARU_TRY(check_keeps_routing(RoutingShape::of(files.config)));
  NARU_ASSIGN(data::ProblemMix problems, data::ProblemMix::open(recipe.data, recipe.seed, data::Split::kTrain,
                                                                recipe_folder, rewards::needs_answers(recipe.reward)));
  return std::unique_ptr<RolloutBatches>(
      new RolloutBatches(recipe, files, std::move(problems), std::move(judge), std::move(more_files)));
}

// Problems of a generator are made when they are asked for: what their texts are is told by the first rollout's.
data::StreamRecord RolloutBatches::record() const {
  data::StreamRecord record = problems_.record(rollout_->prompts);
  data::add_files(record, judge_->files());
  if (!more_files_.empty()) data::add_files(record, more_files_);
  return record;
}

int64_t RolloutBatches::steps_per_epoch() const {
  return std::max<int64_t>(1, problems_.size() * rollout_->updates / (rollout_->prompts * n_rounds_));
}

bool RolloutBatches::has_conversations() const {
  return is_asked_as_chat(*recipe_, *files_);
}

Status RolloutBatches::check_room(std::span<const int32_t> prompt, std::string_view of) const {
  const int64_t wanted = std::ssize(prompt) + rollout_->max_tokens;
  if (wanted <= recipe_->batch.context) return {};
  return Error{Code::kInvalidArgument,
               fmt::format("planning the rollouts: the prompt of problem {0} has {1} tokens and its answer up to {2} "
                           "({4}.max_tokens), batch.context is {3}, room for both was wanted; raise batch.context or "
                           "lower {4}.max_tokens",
                           of, prompt.size(), rollout_->max_tokens, recipe_->batch.context,
                           recipes::run_kind_name(recipe_->kind))};
}

// Of one token, at the most.
int64_t RolloutBatches::set_words() const {
  if (!form().keeps_tokens) return 0;
  const int64_t n_kept = rollout_->top_k > 0 ? rollout_->top_k : files_->config.vocab;
  return data::TokenSets::words_of(n_kept, files_->config.vocab);
}

// The sets of a micro-batch have 32-bit places.
Status RolloutBatches::check_sets() const {
  const int64_t n_words = set_words();
  const int64_t n_tokens = std::min(recipe_->batch.context * recipe_->batch.micro_rows,
                                    rollout_->prompts * rollout_->answers * rollout_->max_tokens);
  if (n_words == 0 || n_tokens <= UINT32_MAX / n_words) return {};
  return Error{
      Code::kInvalidArgument,
      fmt::format("planning the rollouts: a micro-batch has up to {} answer tokens, and of each up to {} words "
                  "say which tokens it was drawn from; at most {} tokens were wanted; lower batch.micro_rows "
                  "or batch.context, or set a {}.top_k that is small",
                  n_tokens, n_words, UINT32_MAX / n_words, recipes::run_kind_name(recipe_->kind))};
}

// Micro-batches are filled with whole answers; how many, the model decides, so this is what short ones take.
Result<TrainingRoom> RolloutBatches::largest(int64_t n_steps, const std::function<bool()>& should_stop) {
  const recipes::RolloutRecipe& of = *rollout_;
  const int64_t n_rollouts = n_rollouts_ = ceil_div(n_steps, of.updates);
  // The last numbers are those of answers to held-out problems.
  const int64_t n_held_out = recipe_->validation.empty() ? 0 : recipe_->validate.samples * recipe_->validate.problems;
  const int64_t n_numbers = UINT32_MAX - n_held_out;
  if (n_rollouts > n_numbers / (of.prompts * n_rounds_ * of.answers)) {
    return Error{
        Code::kInvalidArgument,
        fmt::format("planning the rollouts: {} rollouts of {} x {} answers have no numbers of their own, at most "
                    "{} answers of a run were wanted; train fewer steps, or with smaller groups",
                    n_rollouts, of.prompts * n_rounds_, of.answers, n_numbers)};
  }
  if (files_->config.max_positions > 0 && recipe_->batch.context > files_->config.max_positions) {
    return Error{Code::kInvalidArgument,
                 fmt::format("planning the rollouts: batch.context is {}, and the model was made for {} tokens; lower "
                             "batch.context",
                             recipe_->batch.context, files_->config.max_positions)};
  }
  NARU_TRY(check_sets());
  const int64_t n_looked_at =
      std::min(n_rollouts * of.prompts * n_rounds_, problems_.has_file() ? problems_.size() : kProblemsLookedAt);
  const int64_t rows = recipe_->batch.context * recipe_->batch.micro_rows;
  int64_t shortest = recipe_->batch.context;
  for (int64_t i = 0; i < n_looked_at; ++i) {
    if (should_stop && should_stop()) return Error{Code::kCancelled, "planning the rollouts: stopped by you"};
    const data::Problem problem = problems_.at(i);
    NARU_ASSIGN(const text::ChatPrompt prompt, problem_prompt(*recipe_, *files_, problem));
    shortest = std::min<int64_t>(shortest, std::ssize(prompt.ids) + 1);
    NARU_TRY(check_room(prompt.ids, problem.generator ? std::to_string(i) : problem.key));
  }
  const int64_t answers = std::min(of.prompts * of.answers, rows / shortest + 1);
  return TrainingRoom{.rows = rows, .pages = rows / contract::kCachePage + answers, .documents = answers};
}

// Answers as they were sampled, as batches, as the batch of the step, and as bytes for a checkpoint.
int64_t RolloutBatches::held_bytes() const {
  const int64_t n_answers = rollout_->prompts * rollout_->answers;
  int64_t of_batches = 28, of_kept = 0;  // bytes of a token
  if (has_reference(*recipe_)) of_batches += 4;
  if (keeps_routing(*recipe_)) {
    const RoutingShape routing = RoutingShape::of(files_->config);
    of_batches += 4 * routing.layers * routing.chosen;
  }
  if (form().keeps_tokens) {
    of_batches += 4;
    of_kept = 4 * set_words();
  }
  const int64_t of_answer =
      recipe_->batch.context * (8 * n_rounds_ + 3 * of_batches) + rollout_->max_tokens * (n_rounds_ + 3) * of_kept;
  return problems_.held_bytes() + n_answers * of_answer;
}

BatchForm RolloutBatches::form() const {
  return {.n_signals = kPolicySignals + (has_reference(*recipe_) ? 1 : 0),
          .keeps_tokens = engine::truncates(policy_sampling(*recipe_), files_->config.vocab)};
}

// Of the rounds of a rollout, judged.
Result<std::vector<AnswerGroup>> RolloutBatches::ask_rounds(int64_t index, const ModelNow& now) const {
  const int64_t first = index * rollout_->prompts * n_rounds_;
  std::vector<AnswerGroup> all;
  int64_t n_missing = rollout_->prompts;
  for (int64_t round = 0; round < n_rounds_ && n_missing > 0; ++round) {
    NARU_ASSIGN(std::vector<AnswerGroup> groups, ask(first + std::ssize(all), n_missing, now));
    NARU_TRY(judge(groups, now));
    for (AnswerGroup& group : groups) {
      n_missing -= group.is_flat() ? 0 : 1;
      all.push_back(std::move(group));
    }
  }
  return all;
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
  const int64_t n_answers = rollout_->answers;
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
  const auto begin = std::chrono::steady_clock::now();
  NARU_ASSIGN(std::vector<SampledAnswer> answers,
              rollout->sample(prompts, {.answers = n_answers,
                                        .max_tokens = rollout_->max_tokens,
                                        .first = static_cast<uint32_t>(first * n_answers),
                                        .should_stop = now.should_stop}));
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  for (size_t i = 0; i < answers.size(); ++i) {
    AnswerGroup& group = groups[i / static_cast<size_t>(n_answers)];
    group.seconds = seconds / static_cast<double>(n);
    group.texts.push_back(rollout->text_of(answers[i]));
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
    // Of a group that is compared with itself; else no answer counts more than another.
    group.advantages = recipe_->kind == recipes::RunKind::kGrpo
                           ? group_advantages(advantage_kind(recipe_->grpo), rewards)
                           : std::vector<double>(rewards.size(), 0.0);
  }
  return {};
}

Status RolloutBatches::roll(int64_t index, const ModelNow& now) {
  const int64_t n_updates = rollout_->updates;
  index_ = -1;
  NARU_ASSIGN(std::vector<AnswerGroup> groups, ask_rounds(index, now));
  metrics_ = rollout_metrics(groups, judge_->names());
  if (recipe_->kind == recipes::RunKind::kGrpo) {
    keep_with_signal(groups, rollout_->prompts);
    const auto n_flat = std::count_if(groups.begin(), groups.end(), [](const AnswerGroup& g) { return g.is_flat(); });
    metrics_.emplace_back("flat_kept", static_cast<double>(n_flat) / static_cast<double>(groups.size()));
  } else {
    std::erase_if(metrics_, is_of_groups);
  }
  shown_.clear();
  if (is_shown(index)) shown_ = train::shown_groups(groups, judge_->names(), has_conversations());
  std::vector<std::vector<JudgedAnswer>> by_update(static_cast<size_t>(n_updates));
  for (size_t i = 0; i < groups.size(); ++i) {
    auto& update = by_update[i * static_cast<size_t>(n_updates) / groups.size()];
    for (size_t k = 0; k < groups[i].answers.size(); ++k) {
      update.push_back({std::move(groups[i].answers[k]), groups[i].advantages[k]});
    }
  }
  batches_.clear();
  for (int64_t u = 0; u < n_updates; ++u) {
    batches_.push_back(answer_batch(by_update[static_cast<size_t>(u)], averaging(*rollout_), rollout_->max_tokens,
                                    recipe_->batch.context * recipe_->batch.micro_rows, u == 0));
  }
  // The reference's routers choose for themselves: before experts are kept.
  if (has_reference(*recipe_)) NARU_TRY(now.refer(batches_));
  for (size_t u = 1; keeps_routing(*recipe_) && u < batches_.size(); ++u) NARU_TRY(now.keep_experts(batches_[u]));
  index_ = index;
  return {};
}

Result<data::StepBatch> RolloutBatches::step(int64_t step, const ModelNow& now) {
  const int64_t index = step / rollout_->updates;
  if (index != index_) {
    NARU_TRY(roll(index, now));
    first_step_ = step;
  }
  return batches_[static_cast<size_t>(step % rollout_->updates)];
}

bool RolloutBatches::is_first_update(int64_t step) const {
  return index_ >= 0 && step == first_step_;
}

// The first, the last, and some between.
bool RolloutBatches::is_shown(int64_t index) const {
  return index == 0 || index == n_rollouts_ - 1 || runs::is_kept_time(index, 1, n_rollouts_);
}

std::vector<std::pair<std::string, double>> RolloutBatches::metrics(int64_t step) const {
  return is_first_update(step) ? metrics_ : std::vector<std::pair<std::string, double>>();
}

std::vector<runs::ShownGroup> RolloutBatches::shown_groups(int64_t step) const {
  return is_first_update(step) ? shown_ : std::vector<runs::ShownGroup>();
}

std::string RolloutBatches::kept(int64_t next_step) const {
  // Before the first update the weights that it was made by are there.
  const bool is_left = next_step / rollout_->updates == index_ && next_step != first_step_;
  if (!is_left) return {};
  std::string bytes = batches_to_bytes(index_, batches_);
  return keeps_routing(*recipe_) ? with_routing(bytes, batches_) : bytes;
}

Status RolloutBatches::restore(int64_t step, std::string_view kept) {
  index_ = first_step_ = -1;
  batches_.clear();
  metrics_.clear();
  shown_.clear();
  if (kept.empty()) return {};
  RoutedBytes parts{.batches = kept, .experts = {}};
  if (keeps_routing(*recipe_)) {
    NARU_ASSIGN(parts, split_routing(kept));
  }
  NARU_ASSIGN(KeptBatches bytes, batches_from_bytes(parts.batches, files_->config.vocab, form()));
  if (std::ssize(bytes.batches) != rollout_->updates || bytes.index != step / rollout_->updates) {
    return Error{Code::kCorrupt,
                 fmt::format("resuming at step {}: the checkpoint keeps rollout {} of {} updates, rollout {} of {} was "
                             "wanted; it is of another run: start in a new output folder, or move this checkpoint away",
                             step, bytes.index, bytes.batches.size(), step / rollout_->updates, rollout_->updates)};
  }
  if (keeps_routing(*recipe_)) {
    NARU_TRY(take_routing(parts.experts, RoutingShape::of(files_->config), bytes.batches));
  }
  index_ = bytes.index;
  batches_ = std::move(bytes.batches);
  return {};
}

}  // namespace naru::train
