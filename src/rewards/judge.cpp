#include "rewards/judge.h"

#include <fmt/format.h>

#include <algorithm>

#include "rewards/answers.h"
#include "rewards/languages.h"
#include "rewards/reasoning_form.h"

namespace naru::rewards {
namespace {

// A soft bound on length (DAPO, arXiv 2503.14476): nothing up to `free_tokens`, then falling to -1 at the longest
// answer.
double length_part(int64_t n_tokens, int64_t max_tokens, int64_t free_tokens) {
  if (n_tokens <= free_tokens) return 0;
  return -static_cast<double>(n_tokens - free_tokens) / static_cast<double>(max_tokens - free_tokens);
}

struct Part {
  recipes::RewardRecipe recipe;
  std::string name;
};

bool is_right(const Part& part, const JudgedText& text) {
  const recipes::RewardRecipe& w = part.recipe;
  const ReasoningForm form = reasoning_form(text.answer, w.tag, text.begins_in_reasoning);
  if (w.strict && !form.is_kept) return false;
  if (text.problem->generator && (w.find.empty() || w.find == "verifier")) {
    return data::verify(*text.problem, form.answer).is_right;
  }
  const auto& wanted = text.problem->answer_text;
  return wanted && is_answer(form.answer, *wanted, answer_place(w.find), comparison(w.compare));
}

}  // namespace

struct Judge::State {
  JudgeOptions options;
  std::vector<Part> parts;
  std::vector<std::string> names;
  std::vector<data::DataFile> files;

  double value(const Part& part, const JudgedText& text) const {
    const recipes::RewardRecipe& w = part.recipe;
    if (w.kind == "answer") return is_right(part, text) ? 1 : 0;
    if (w.kind == "format") {
      return reasoning_form(text.answer, w.tag, text.begins_in_reasoning).is_kept ? 1 : 0;
    }
    if (w.kind == "language") return language_share(text.problem->prompt, text.answer);
    return length_part(text.n_tokens, options.max_tokens, w.tokens);
  }
};

JudgeOptions judge_options(const recipes::Recipe& recipe, const std::filesystem::path& recipe_folder) {
  return {.rewards = recipe.reward,
          .max_tokens = recipe.grpo.max_tokens,
          .soft_tokens = recipe.grpo.soft_tokens,
          .folder = recipe_folder};
}

bool needs_answers(const std::vector<recipes::RewardRecipe>& rewards) {
  return rewards.empty() || std::ranges::any_of(rewards, [](const auto& reward) { return reward.kind == "answer"; });
}

Judge::Judge(std::unique_ptr<State> state) : state_(std::move(state)) {}
Judge::Judge(Judge&&) noexcept = default;
Judge& Judge::operator=(Judge&&) noexcept = default;
Judge::~Judge() = default;

Result<Judge> Judge::open(JudgeOptions options, const std::function<bool()>&) {
  auto state = std::make_unique<State>();
  for (const recipes::RewardRecipe& reward : options.rewards) {
    if (reward.kind == "program") return Error{Code::kUnsupported, "opening rewards: programs"};
    state->parts.push_back({reward, reward_name(reward)});
  }
  if (options.rewards.empty()) state->parts.push_back({{}, "answer"});
  if (options.soft_tokens > 0 || options.rewards.empty()) {
    recipes::RewardRecipe length;
    length.kind = "length";
    length.tokens = options.max_tokens - options.soft_tokens;
    state->parts.push_back({length, "length"});
  }
  for (const Part& part : state->parts) state->names.push_back(part.name);
  state->options = std::move(options);
  return Judge(std::move(state));
}

const std::vector<std::string>& Judge::names() const {
  return state_->names;
}

bool Judge::has_programs() const {
  return std::ranges::any_of(state_->parts, [](const Part& part) { return part.recipe.kind == "program"; });
}

const std::vector<data::DataFile>& Judge::files() const {
  return state_->files;
}

Result<std::vector<Judgement>> Judge::judge(const std::vector<JudgedText>& texts, const JudgeCall&) {
  std::vector<Judgement> judgements;
  for (const JudgedText& text : texts) {
    Judgement& one = judgements.emplace_back();
    for (const Part& part : state_->parts) {
      one.parts.push_back(state_->value(part, text));
      one.reward += part.recipe.weight * one.parts.back();
    }
    const auto answer = std::ranges::find(state_->parts, "answer", [](const Part& part) { return part.recipe.kind; });
    one.is_right = answer != state_->parts.end() && one.parts[static_cast<size_t>(answer - state_->parts.begin())] == 1;
  }
  return judgements;
}

Result<std::vector<bool>> Judge::are_right(const std::vector<JudgedText>& texts, const JudgeCall& call) {
  NARU_ASSIGN(const std::vector<Judgement> judgements, judge(texts, call));
  std::vector<bool> right;
  for (const Judgement& one : judgements) right.push_back(one.is_right);
  return right;
}

Result<int64_t> Judge::stored_failures(const std::filesystem::path&) const {
  return 0;
}

}  // namespace naru::rewards
