#include "train/rollout.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "engine/scheduler.h"

namespace naru::train {
namespace {

constexpr int64_t kAnswerTokensMax = 256;  // of a problem's answer

}  // namespace

int64_t Rollout::context_tokens(const Recipe& recipe, const formats::ModelConfig& config) {
  const int64_t wanted = 2 * recipe.batch.context;
  return config.max_positions > 0 ? std::min(config.max_positions, wanted) : wanted;
}

Result<Rollout> Rollout::open(TrainableModel& model, const TrainingModelFiles& files, const Recipe& recipe,
                              contract::Chip& counting_chip) {
  Rollout rollout;
  rollout.files_ = &files;
  rollout.recipe_ = &recipe;
  std::vector<formats::MemoryTensor> tensors;
  for (size_t i = 0; i < files.parameters.size(); ++i) {
    const models::Parameter& parameter = files.parameters[i];
    rollout.values_.emplace_back(static_cast<size_t>(parameter.n_elements()));
    NARU_TRY(model.merged_value(static_cast<int64_t>(i), rollout.values_.back().data()));
    tensors.push_back({parameter.name, parameter.shape, rollout.values_.back().data()});
  }
  const std::filesystem::path name = "the model in training";
  models::ModelFiles memory{name, formats::TensorFiles::from_memory(std::move(tensors), name), files.config};
  engine::EngineOptions options;
  options.load.compute = recipe.compute;
  options.load.is_latent_form = files.is_latent_form;
  options.memory.sessions_max = kSessionsMax;
  options.memory.context_tokens = context_tokens(recipe, files.config);
  NARU_ASSIGN(rollout.engine_, engine::Engine::open(std::move(memory), options, model.chip(), counting_chip));
  return rollout;
}

Result<std::vector<std::string>> Rollout::answer(const std::vector<std::string>& prompts, const Options& options) {
  engine::Scheduler scheduler(*engine_);
  std::vector<std::string> answers(prompts.size());
  std::vector<std::vector<int32_t>> ids(prompts.size());
  std::map<engine::RequestId, size_t> index_of;
  for (size_t i = 0; i < prompts.size(); ++i) {
    engine::Request request;
    if (options.is_chat && files_->chat_template) {
      text::ChatInput input;
      input.messages.emplace_back(text::Value::Object{{"role", std::string("user")}, {"content", prompts[i]}});
      NARU_ASSIGN(const auto segments, files_->chat_template->render(input));
      request.ids = files_->tokenizer->encode_segments(segments);
    } else {
      request.ids = files_->tokenizer->encode(prompts[i], {.add_special = true, .parse_special = false});
    }
    if (request.ids.empty() || static_cast<int64_t>(request.ids.size()) >= engine_->context_tokens()) continue;
    request.sampling.temperature = options.temperature;
    request.sampling.seed = recipe_->seed;
    request.max_tokens = options.max_tokens;
    for (const auto& stop : {files_->tokenizer->eos_id(), files_->tokenizer->eot_id()}) {
      if (stop) request.stop_ids.push_back(*stop);
    }
    NARU_ASSIGN(const engine::RequestId id, scheduler.submit(std::move(request)));
    index_of[id] = i;
  }
  while (!scheduler.is_idle()) {
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

Result<double> Rollout::accuracy(const SourceRecipe& source, int64_t n_problems, bool is_chat) {
  NARU_ASSIGN(const GeneratorOptions options, generator_options(source));
  std::vector<Problem> problems;
  std::vector<std::string> prompts;
  for (int64_t i = 0; i < n_problems; ++i) {
    problems.push_back(make_problem(options, recipe_->seed, i, Split::kValidation));
    prompts.push_back(is_chat ? problems.back().prompt : problems.back().text_prompt);
  }
  NARU_ASSIGN(const std::vector<std::string> answers,
              answer(prompts, {.max_tokens = kAnswerTokensMax, .temperature = 0, .is_chat = is_chat}));
  int64_t n_right = 0;
  for (size_t i = 0; i < problems.size(); ++i) n_right += verify(problems[i], answers[i]).is_right ? 1 : 0;
  return static_cast<double>(n_right) / static_cast<double>(n_problems);
}

}  // namespace naru::train
