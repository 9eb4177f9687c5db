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
  return recipe.kind == recipes::RunKind::kGrpo && files.chat_template && files.chat_template->can_render(false);
}

Result<std::vector<int32_t>> prompt_ids(const recipes::Recipe& recipe, const TrainingModelFiles& files,
                                        const data::Problem& problem) {
  const bool is_chat = is_asked_as_chat(recipe, files);
  return prompt_ids(files, is_chat ? problem.prompt : problem.text_prompt, is_chat);
}

int64_t answer_tokens_max(const recipes::Recipe& recipe) {
  return recipe.kind == recipes::RunKind::kGrpo ? recipe.grpo.max_tokens : kAnswerTokensMax;
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
  const bool has_problems = std::any_of(recipe.validation.begin(), recipe.validation.end(),
                                        [](const recipes::SourceRecipe& source) { return !source.generator.empty(); });
  if (has_problems) {
    size = {kSessionsMax, std::max(size.context_tokens, recipe.batch.context + answer_tokens_max(recipe))};
  }
  if (recipe.kind == recipes::RunKind::kGrpo) {
    const int64_t answers = std::min(recipe.grpo.prompts * recipe.grpo.answers, recipe.grpo.at_once);
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
  engine::Scheduler scheduler(*engine_);
  std::vector<std::string> answers(prompts.size());
  std::vector<std::vector<int32_t>> ids(prompts.size());
  std::map<engine::RequestId, size_t> index_of;
  for (size_t i = 0; i < prompts.size(); ++i) {
    engine::Request request;
    NARU_ASSIGN(request.ids, prompt_ids(*files_, prompts[i], options.is_chat));
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
  for (size_t i = 0; i < prompts.size(); ++i) answers[i] = files_->tokenizer->decode(ids[i], true);
  return answers;
}

Result<std::vector<SampledAnswer>> Rollout::sample(const std::vector<std::vector<int32_t>>& prompts,
                                                   const SampleOptions& options) {
  std::vector<SampledAnswer> answers;
  for (const std::vector<int32_t>& prompt : prompts) {
    for (int64_t k = 0; k < options.answers; ++k) answers.push_back({.prompt = prompt, .ids = {}, .log_probs = {}});
  }
  engine::Scheduler scheduler(*engine_, {.waiting_max = std::ssize(answers)});
  std::map<engine::RequestId, SampledAnswer*> answer_of;
  for (size_t i = 0; i < answers.size(); ++i) {
    engine::Request request;
    request.ids = answers[i].prompt;
    request.sampling.seed = recipe_->seed;
    request.sample = options.first + static_cast<uint32_t>(i);
    request.max_tokens = options.max_tokens;
    request.top_logprobs = 0;
    NARU_ASSIGN(const engine::RequestId id, scheduler.submit(std::move(request)));
    answer_of[id] = &answers[i];
  }
  while (!scheduler.is_idle()) {
    if (options.should_stop && options.should_stop()) return Error{Code::kCancelled, "sampling answers: stopped"};
    for (const engine::Event& event : scheduler.step()) {
      if (event.error) return *event.error;
      SampledAnswer& answer = *answer_of.at(event.request);
      if (event.kind == engine::Event::Kind::kToken) {
        answer.ids.push_back(event.id);
        answer.log_probs.push_back(event.logprob);
      } else if (event.kind == engine::Event::Kind::kFinished) {
        answer.is_cut = event.reason == engine::FinishReason::kLength;
      }
    }
  }
  return answers;
}

}  // namespace naru::train
