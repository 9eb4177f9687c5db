#include "train/rollout.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "engine/scheduler.h"

namespace naru::train {
namespace {

constexpr int64_t kSessionsMax = 32;       // answered together
constexpr int64_t kAnswerTokensMax = 256;  // of a problem's answer

Result<std::vector<int32_t>> prompt_ids(const TrainingModelFiles& files, const std::string& prompt, bool is_chat) {
  if (!is_chat || !files.chat_template || !files.chat_template->can_render(false)) {
    return files.tokenizer->encode(prompt, {.add_special = true, .parse_special = false});
  }
  text::ChatInput input;
  input.messages.emplace_back(text::Value::Object{{"role", std::string("user")}, {"content", prompt}});
  NARU_ASSIGN(text::ChatPrompt chat, text::encode_chat(*files.chat_template, *files.tokenizer, input));
  return std::move(chat.ids);
}

}  // namespace

bool is_asked_as_chat(const recipes::Recipe& recipe, const TrainingModelFiles& files) {
  if (recipe.kind == recipes::RunKind::kSft) return true;
  return recipes::has_rollouts(recipe.kind) && files.chat_template && files.chat_template->can_render(false);
}

Result<text::ChatPrompt> problem_prompt(const recipes::Recipe& recipe, const TrainingModelFiles& files,
                                        const data::Problem& problem) {
  const bool has_template = files.chat_template && files.chat_template->can_render(false);
  const bool is_chat = has_template && is_asked_as_chat(recipe, files);
  return data::problem_prompt(problem, *files.tokenizer, is_chat ? &*files.chat_template : nullptr);
}

engine::SamplingOptions policy_sampling(const recipes::Recipe& recipe) {
  const recipes::RolloutRecipe& rollout = recipes::rollout_of(recipe);
  engine::SamplingOptions sampling;
  sampling.temperature = rollout.temperature;
  sampling.top_k = rollout.top_k;
  sampling.top_p = rollout.top_p;
  sampling.min_p = rollout.min_p;
  sampling.seed = recipe.seed;
  return sampling;
}

bool is_plain_policy(const engine::SamplingOptions& sampling, int64_t vocab) {
  return static_cast<float>(sampling.temperature) == 1.0f && !engine::truncates(sampling, vocab);
}

int64_t answer_tokens_max(const recipes::Recipe& recipe) {
  return recipes::has_rollouts(recipe.kind) ? recipes::rollout_of(recipe).max_tokens : kAnswerTokensMax;
}

namespace {

engine::MemoryOptions memory_options(const Rollout::Size& size) {
  engine::MemoryOptions options;
  options.context_tokens = size.context_tokens;
  options.sessions_max = size.sessions;
  options.memory_bytes = INT64_MAX;  // what there is, is compared with the plan of the whole run
  return options;
}

}  // namespace

Result<Rollout::Size> Rollout::size(const recipes::Recipe& recipe, const TrainingModelFiles& files) {
  Size size;
  for (const std::string& prompt : recipe.sample.prompts) {
    NARU_ASSIGN(const std::vector<int32_t> ids, prompt_ids(files, prompt, is_asked_as_chat(recipe, files)));
    size.sessions = std::min(kSessionsMax, size.sessions + 1);
    size.context_tokens =
        std::max(size.context_tokens, static_cast<int64_t>(ids.size()) + recipe.sample.max_tokens + 1);
  }
  const bool has_problems =
      std::any_of(recipe.validation.begin(), recipe.validation.end(), [&](const recipes::SourceRecipe& source) {
        return recipes::has_rollouts(recipe.kind) || !source.generator.empty();
      });
  if (has_problems) {
    size = {recipes::has_rollouts(recipe.kind) ? size.sessions : kSessionsMax,
            std::max(size.context_tokens, recipe.batch.context + answer_tokens_max(recipe))};
  }
  if (recipes::has_rollouts(recipe.kind)) {
    const recipes::RolloutRecipe& rollout = recipes::rollout_of(recipe);
    const int64_t answers = std::min(rollout.prompts * rollout.answers, rollout.at_once);
    size = {std::max(size.sessions, answers), std::max(size.context_tokens, recipe.batch.context + 1)};
  }
  if (files.config.max_positions > 0) size.context_tokens = std::min(size.context_tokens, files.config.max_positions);
  return size;
}

Result<int64_t> Rollout::bytes(const TrainableModel& model, const Size& size) {
  NARU_ASSIGN(const models::HeldModel held, model.held());
  NARU_ASSIGN(const engine::MemoryPlan plan, engine::plan_memory(models::plan_held_model(held), memory_options(size)));
  return plan.cache_bytes + plan.workspace_bytes;
}

Result<Rollout> Rollout::open(const TrainableModel& model, const TrainingModelFiles& files,
                              const recipes::Recipe& recipe) {
  Rollout rollout;
  rollout.files_ = &files;
  rollout.recipe_ = &recipe;
  NARU_ASSIGN(const Size size, Rollout::size(recipe, files));
  NARU_ASSIGN(models::HeldModel held, model.held());
  const engine::BorrowedModel borrowed{.model = std::move(held),
                                       .tokenizer = files.tokenizer.get(),
                                       .chat_template = files.chat_template ? &*files.chat_template : nullptr};
  NARU_ASSIGN(rollout.engine_, engine::Engine::open(borrowed, {.memory = memory_options(size)}, model.chip()));
  return rollout;
}

Result<std::vector<std::string>> Rollout::answer(const std::vector<std::string>& prompts, const Options& options) {
  std::vector<std::vector<int32_t>> asked(prompts.size());
  for (size_t i = 0; i < prompts.size(); ++i) {
    NARU_ASSIGN(asked[i], prompt_ids(*files_, prompts[i], options.is_chat));
  }
  NARU_ASSIGN(const std::vector<std::vector<int32_t>> ids, answer_ids(std::move(asked), options));
  std::vector<std::string> answers;
  for (const std::vector<int32_t>& one : ids) answers.push_back(text_of(one));
  return answers;
}

Result<std::vector<std::vector<int32_t>>> Rollout::answer_ids(std::vector<std::vector<int32_t>> prompts,
                                                              const Options& options) {
  engine::Scheduler scheduler(*engine_, {.waiting_max = std::ssize(prompts)});
  std::vector<std::vector<int32_t>> ids(prompts.size());
  std::map<engine::RequestId, size_t> index_of;
  for (size_t i = 0; i < prompts.size(); ++i) {
    engine::Request request;
    request.ids = std::move(prompts[i]);
    if (request.ids.empty() || static_cast<int64_t>(request.ids.size()) >= engine_->context_tokens()) continue;
    request.sampling.temperature = options.temperature;
    request.sampling.seed = recipe_->seed;
    request.max_tokens = options.max_tokens;
    NARU_ASSIGN(const engine::RequestId id, scheduler.submit(std::move(request)));
    index_of[id] = i;
  }
  while (!scheduler.is_idle()) {
    if (options.should_stop && options.should_stop()) return Error{Code::kCancelled, "answering prompts: stopped"};
    for (const engine::Event& event : scheduler.step()) {
      if (event.error) return *event.error;
      if (event.kind == engine::Event::Kind::kToken && !event.is_stop_token) {
        ids[index_of.at(event.request)].push_back(event.id);
      }
    }
  }
  return ids;
}

Result<std::vector<SampledAnswer>> Rollout::sample(const std::vector<std::vector<int32_t>>& prompts,
                                                   const SampleOptions& options) {
  std::vector<SampledAnswer> answers;
  for (const std::vector<int32_t>& prompt : prompts) {
    for (int64_t k = 0; k < options.answers; ++k)
      answers.push_back({.prompt = prompt, .ids = {}, .log_probs = {}, .kept = {}});
  }
  const int64_t vocab = files_->config.vocab;
  const engine::SamplingOptions sampling = policy_sampling(*recipe_);
  const bool is_plain = is_plain_policy(sampling, vocab);
  const int64_t at_once = std::min(recipes::rollout_of(*recipe_).at_once, engine_->memory().sessions_max);
  engine::Scheduler scheduler(*engine_, {.running_max = at_once, .waiting_max = std::ssize(answers)});
  std::map<engine::RequestId, SampledAnswer*> answer_of;
  for (size_t i = 0; i < answers.size(); i += static_cast<size_t>(options.answers)) {
    engine::Request request;
    request.ids = answers[i].prompt;
    request.sampling = sampling;
    request.sample = options.first + static_cast<uint32_t>(i);
    request.max_tokens = options.max_tokens;
    if (is_plain) request.top_logprobs = 0;
    request.wants_drawn = !is_plain;
    NARU_ASSIGN(const engine::RequestId id, scheduler.submit(std::move(request), options.answers));
    for (int64_t k = 0; k < options.answers; ++k) {
      answer_of[id + static_cast<uint64_t>(k)] = &answers[i + static_cast<size_t>(k)];
    }
  }
  while (!scheduler.is_idle()) {
    if (options.should_stop && options.should_stop()) return Error{Code::kCancelled, "sampling answers: stopped"};
    for (const engine::Event& event : scheduler.step()) {
      if (event.error) return *event.error;
      SampledAnswer& answer = *answer_of.at(event.request);
      if (event.kind == engine::Event::Kind::kToken) {
        answer.ids.push_back(event.id);
        answer.is_ended = event.is_stop_token;
        answer.log_probs.push_back(event.logprob);
        if (!event.kept.empty()) answer.kept.add(event.kept, vocab);
      } else if (event.kind == engine::Event::Kind::kFinished) {
        answer.is_cut = event.reason == engine::FinishReason::kLength;
      }
    }
  }
  return answers;
}

std::string Rollout::text_of(const SampledAnswer& answer) const {
  if (!answer.is_ended) return text_of(answer.ids);
  return text_of(std::vector<int32_t>(answer.ids.begin(), answer.ids.end() - 1));
}

}  // namespace naru::train
