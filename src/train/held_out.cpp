#include "train/held_out.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace naru::train {

double pass_at(int64_t k, int64_t n_right, int64_t n) {
  if (n - n_right < k) return 1;
  double none = 1;  // C(n - n_right, k) / C(n, k), factor by factor
  for (int64_t i = 0; i < k; ++i) none *= static_cast<double>(n - n_right - i) / static_cast<double>(n - i);
  return 1 - none;
}

HeldOut HeldOut::create(const recipes::Recipe& recipe, const TrainingModelFiles& files, data::ProblemMix source,
                        std::shared_ptr<rewards::Judge> judge) {
  return HeldOut(recipe, files, std::move(source), std::move(judge));
}

// Of a run with rollouts the longest answer must fit: one that the context cuts is judged by another measure.
Status HeldOut::check_room() const {
  NARU_ASSIGN(const Rollout::Size size, Rollout::size(*recipe_, *files_));
  const int64_t n_answer = recipes::has_rollouts(recipe_->kind) ? recipes::rollout_of(*recipe_).max_tokens : 1;
  NARU_ASSIGN(const std::vector<Asked> asked, problems());
  for (size_t i = 0; i < asked.size(); ++i) {
    const data::Problem& problem = asked[i].problem;
    const auto n_prompt = std::ssize(asked[i].prompt.ids);
    if (n_prompt > 0 && n_prompt + n_answer <= size.context_tokens) continue;
    const bool is_model_full = size.context_tokens == files_->config.max_positions;
    return Error{
        Code::kInvalidArgument,
        fmt::format("planning the held-out problems: the prompt of problem {} has {} tokens, from 1 to {} were "
                    "wanted, as its answer takes {} of the {} that {}; shorten it or take it out{}",
                    problem.generator ? std::to_string(i) : problem.key, n_prompt, size.context_tokens - n_answer,
                    n_answer, size.context_tokens, is_model_full ? "the model was made for" : "batch.context gives",
                    is_model_full ? "" : ", or raise batch.context")};
  }
  return {};
}

Result<std::vector<HeldOut::Asked>> HeldOut::problems() const {
  std::vector<Asked> asked;
  for (int64_t i = 0; i < n_problems(); ++i) {
    Asked& one = asked.emplace_back(Asked{.problem = source_.at(i), .prompt = {}});
    NARU_ASSIGN(one.prompt, problem_prompt(*recipe_, *files_, one.problem));
  }
  return asked;
}

std::string HeldOutAnswers::ids_text() const {
  std::string text;
  for (const std::vector<One>* answers : {&likeliest, &drawn}) {
    for (const One& one : *answers) text += fmt::format("{}\n", fmt::join(one.ids, " "));
  }
  return text;
}

Result<HeldOutAnswers> HeldOut::answer(Rollout& rollout, const std::function<bool()>& should_stop) const {
  NARU_ASSIGN(const std::vector<Asked> asked, problems());
  std::vector<std::vector<int32_t>> prompts;
  for (const Asked& one : asked) prompts.push_back(one.prompt.ids);
  const int64_t max_tokens = answer_tokens_max(*recipe_);
  HeldOutAnswers answers;
  NARU_ASSIGN(std::vector<std::vector<int32_t>> likeliest,
              rollout.answer_ids(prompts, {.max_tokens = max_tokens, .temperature = 0, .should_stop = should_stop}));
  for (std::vector<int32_t>& ids : likeliest) {
    std::string text = rollout.text_of(ids);
    answers.likeliest.push_back({std::move(ids), std::move(text)});
  }
  const int64_t n = recipes::has_rollouts(recipe_->kind) ? recipe_->validate.samples : 0;
  if (n == 0) return answers;
  // With the last random numbers of all, which no rollout takes: the same ones each time, so that a curve shows the
  // model and not the draw.
  NARU_ASSIGN(std::vector<SampledAnswer> drawn,
              rollout.sample(prompts, {.answers = n,
                                       .max_tokens = max_tokens,
                                       .first = UINT32_MAX - static_cast<uint32_t>(n * std::ssize(asked)),
                                       .should_stop = should_stop}));
  for (SampledAnswer& answer : drawn) {
    std::string text = rollout.text_of(answer);
    answers.drawn.push_back({std::move(answer.ids), std::move(text)});
  }
  return answers;
}

Status HeldOut::judge_likeliest(const std::vector<Asked>& asked, const HeldOutAnswers& answers,
                                const rewards::JudgeCall& call, HeldOutResult* result) const {
  std::vector<rewards::JudgedText> texts;
  for (size_t i = 0; i < asked.size(); ++i) {
    texts.push_back({.problem = &asked[i].problem,
                     .answer = answers.likeliest[i].text,
                     .n_tokens = std::ssize(answers.likeliest[i].ids),
                     .begins_in_reasoning = asked[i].prompt.opens_reasoning});
  }
  NARU_ASSIGN(const std::vector<bool> right, judge_->are_right(texts, call));
  const bool is_chat = is_asked_as_chat(*recipe_, *files_);
  for (size_t i = 0; i < std::min<size_t>(asked.size(), runs::kProblemsKept); ++i) {
    const data::Problem& problem = asked[i].problem;
    result->kept.push_back({.problem = static_cast<int64_t>(i),
                            .prompt = is_chat ? problem.prompt : problem.text_prompt,
                            .wanted = wanted_answer(problem),
                            .answer = answers.likeliest[i].text,
                            .is_right = right[i]});
  }
  const auto n_right = static_cast<double>(std::ranges::count(right, true));
  result->accuracy = n_right / static_cast<double>(asked.size());
  result->metrics.emplace_back("accuracy", result->accuracy);
  return {};
}

Status HeldOut::judge_drawn(const std::vector<Asked>& asked, const HeldOutAnswers& answers,
                            const rewards::JudgeCall& call, HeldOutResult* result) const {
  const int64_t n = recipe_->validate.samples;
  std::vector<rewards::JudgedText> texts;
  for (size_t i = 0; i < answers.drawn.size(); ++i) {
    const Asked& one = asked[i / static_cast<size_t>(n)];
    texts.push_back({.problem = &one.problem,
                     .answer = answers.drawn[i].text,
                     .n_tokens = std::ssize(answers.drawn[i].ids),
                     .begins_in_reasoning = one.prompt.opens_reasoning});
  }
  NARU_ASSIGN(const std::vector<bool> right, judge_->are_right(texts, call));
  double once = 0, all = 0;
  for (size_t i = 0; i < asked.size(); ++i) {
    const auto begin = right.begin() + static_cast<int64_t>(i) * n;
    const int64_t n_right = std::count(begin, begin + n, true);
    once += pass_at(1, n_right, n);
    all += pass_at(n, n_right, n);
  }
  const auto n_all = static_cast<double>(asked.size());
  result->metrics.emplace_back("pass_1", once / n_all);
  if (n > 1) result->metrics.emplace_back(fmt::format("pass_{}", n), all / n_all);
  return {};
}

Result<HeldOutResult> HeldOut::judge(const HeldOutAnswers& answers, const rewards::JudgeCall& call) const {
  HeldOutResult result;
  NARU_ASSIGN(const std::vector<Asked> asked, problems());
  NARU_TRY(judge_likeliest(asked, answers, call, &result));
  if (!answers.drawn.empty()) NARU_TRY(judge_drawn(asked, answers, call, &result));
  return result;
}

}  // namespace naru::train
