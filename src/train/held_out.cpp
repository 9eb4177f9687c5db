#include "train/held_out.h"

#include <fmt/format.h>

#include <algorithm>

namespace naru::train {

double pass_at(int64_t k, int64_t n_right, int64_t n) {
  if (n - n_right < k) return 1;
  double none = 1;  // C(n - n_right, k) / C(n, k), factor by factor
  for (int64_t i = 0; i < k; ++i) none *= static_cast<double>(n - n_right - i) / static_cast<double>(n - i);
  return 1 - none;
}

Result<std::optional<HeldOut>> HeldOut::open(const recipes::Recipe& recipe, const TrainingModelFiles& files,
                                             const std::filesystem::path& recipe_folder) {
  const auto source = std::find_if(recipe.validation.begin(), recipe.validation.end(),
                                   [](const recipes::SourceRecipe& s) { return !s.generator.empty(); });
  if (source == recipe.validation.end()) return std::optional<HeldOut>();
  NARU_ASSIGN(rewards::Judge judge, rewards::Judge::open(recipe));
  NARU_ASSIGN(const data::ProblemSource problems,
              data::ProblemSource::open(*source, recipe.seed, data::Split::kValidation, recipe_folder));
  HeldOut held_out(recipe, files, std::move(judge));
  for (int64_t i = 0; i < std::min(recipe.validate.problems, problems.size()); ++i) {
    held_out.problems_.push_back(problems.at(i));
  }
  return std::optional(std::move(held_out));
}

Result<std::vector<int64_t>> HeldOut::n_right(const std::vector<rewards::JudgedText>& texts,
                                              const std::function<bool()>& should_stop) const {
  NARU_ASSIGN(const std::vector<rewards::Judgement> judgements, judge_.judge(texts, should_stop));
  std::vector<int64_t> n(problems_.size(), 0);
  const size_t each = judgements.size() / problems_.size();
  for (size_t i = 0; i < judgements.size(); ++i) n[i / each] += judgements[i].is_right ? 1 : 0;
  return n;
}

Status HeldOut::ask_greedily(Rollout& rollout, const std::function<bool()>& should_stop, HeldOutResult* result) const {
  const bool is_chat = is_asked_as_chat(*recipe_, *files_);
  std::vector<std::string> prompts;
  for (const data::Problem& problem : problems_) prompts.push_back(is_chat ? problem.prompt : problem.text_prompt);
  NARU_ASSIGN(const std::vector<std::string> answers,
              rollout.answer(prompts, {.max_tokens = answer_tokens_max(*recipe_),
                                       .temperature = 0,
                                       .is_chat = is_chat,
                                       .should_stop = should_stop}));
  std::vector<rewards::JudgedText> texts;
  for (size_t i = 0; i < answers.size(); ++i) texts.push_back({.problem = &problems_[i], .answer = answers[i]});
  NARU_ASSIGN(const std::vector<int64_t> right, n_right(texts, should_stop));
  int64_t n = 0;
  for (size_t i = 0; i < answers.size(); ++i) {
    n += right[i];
    if (static_cast<int64_t>(i) >= runs::kProblemsKept) continue;
    result->kept.push_back({.problem = static_cast<int64_t>(i),
                            .prompt = prompts[i],
                            .wanted = problems_[i].solution,
                            .answer = answers[i],
                            .is_right = right[i] > 0});
  }
  result->accuracy = static_cast<double>(n) / static_cast<double>(problems_.size());
  result->metrics.emplace_back("accuracy", result->accuracy);
  return {};
}

// With the last random numbers of all, which no rollout takes: the same ones each time, so that a curve shows the model
// and not the draw.
Status HeldOut::draw(Rollout& rollout, const std::function<bool()>& should_stop, HeldOutResult* result) const {
  const int64_t n = recipe_->validate.samples;
  std::vector<std::vector<int32_t>> prompts;
  for (const data::Problem& problem : problems_) {
    NARU_ASSIGN(prompts.emplace_back(), prompt_ids(*recipe_, *files_, problem));
    const int64_t room = rollout.engine().context_tokens();
    if (prompts.back().empty() || std::ssize(prompts.back()) >= room) return {};  // no answers to draw from
  }
  NARU_ASSIGN(const std::vector<SampledAnswer> answers,
              rollout.sample(prompts, {.answers = n,
                                       .max_tokens = answer_tokens_max(*recipe_),
                                       .first = UINT32_MAX - static_cast<uint32_t>(n * n_problems()),
                                       .should_stop = should_stop}));
  std::vector<std::string> said;
  std::vector<rewards::JudgedText> texts;
  for (const SampledAnswer& answer : answers) said.push_back(rollout.text_of(answer.ids));
  for (size_t i = 0; i < answers.size(); ++i) {
    texts.push_back({.problem = &problems_[i / static_cast<size_t>(n)],
                     .answer = said[i],
                     .n_tokens = std::ssize(answers[i].ids),
                     .is_cut = answers[i].is_cut});
  }
  NARU_ASSIGN(const std::vector<int64_t> right, n_right(texts, should_stop));
  double once = 0, all = 0;
  for (const int64_t n_of_one : right) {
    once += pass_at(1, n_of_one, n);
    all += pass_at(n, n_of_one, n);
  }
  const auto n_all = static_cast<double>(n_problems());
  result->metrics.emplace_back("pass_1", once / n_all);
  if (n > 1) result->metrics.emplace_back(fmt::format("pass_{}", n), all / n_all);
  return {};
}

Result<HeldOutResult> HeldOut::ask(Rollout& rollout, const std::function<bool()>& should_stop) const {
  HeldOutResult result;
  NARU_TRY(ask_greedily(rollout, should_stop, &result));
  const bool is_drawn = recipe_->kind == recipes::RunKind::kGrpo && recipe_->validate.samples > 0;
  if (is_drawn) NARU_TRY(draw(rollout, should_stop, &result));
  return result;
}

}  // namespace naru::train
