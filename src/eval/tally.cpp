#include "eval/tally.h"

#include <algorithm>

#include "rewards/languages.h"

namespace naru::eval {

void Tally::add_ids(const std::vector<int32_t>& ids) {
  const int64_t n = std::ssize(ids);
  hash_.update(std::as_bytes(std::span(&n, 1)));
  hash_.update(std::as_bytes(std::span(ids)));
}

Status Tally::take(int64_t problem_number, const std::vector<GivenAnswer>& answers,
                   const std::function<Status(const TakenAnswer&)>& each) {
  const auto at = static_cast<size_t>(problem_number);
  const data::Problem& problem = set_.problems[at];
  ProblemScore score;
  score.language = rewards::language_word(problem.prompt);
  score.n_drawn = std::ssize(answers) - 1;
  add_ids(prompts_.ids[at]);
  double language_sum = 0;
  for (size_t i = 0; i < answers.size(); ++i) {
    const GivenAnswer& answer = answers[i];
    const std::string text = tokenizer_.decode(answer.ids, true);
    Grade grade;
    if (answer.is_asked) {
      grade = eval::grade(problem, {text, prompts_.opens_reasoning[at], answer.is_cut}, grading_);
      language_sum += rewards::language_share(problem.prompt, text);
      ++score.n_answers;
    }
    if (i == 0) score.greedy = grade;
    score.n_strict += i > 0 && grade.is_strict ? 1 : 0;
    score.n_lenient += i > 0 && grade.is_lenient ? 1 : 0;
    score.n_cut += answer.is_cut ? 1 : 0;
    score.n_tokens += answer.n_tokens;
    add_ids(answer.ids);
    if (each) NARU_TRY(each({problem_number, static_cast<int64_t>(i) - 1, score.language, answer, text, grade}));
  }
  if (score.n_answers > 0) score.language_share = language_sum / static_cast<double>(score.n_answers);
  n_answers_ += score.n_answers;
  n_cut_ += score.n_cut;
  n_tokens_ += score.n_tokens;
  n_unasked_ += answers.front().is_asked ? 0 : 1;
  scores_.push_back(std::move(score));
  return {};
}

Result<AnsweringRoom> room_for_answers(const models::ModelPlan& plan, const Prompts& prompts, int64_t max_tokens,
                                       int64_t n_answers, int64_t at_once_max, int64_t prefill_chunk) {
  AnsweringRoom room{.context_tokens = prompts.longest + max_tokens, .at_once = 1};
  if (const int64_t limit = plan.config.max_positions; limit > 0) {
    room.context_tokens = std::min(room.context_tokens, limit);
  }
  for (room.at_once = std::max<int64_t>(1, std::min(at_once_max, n_answers));; room.at_once /= 2) {
    engine::MemoryOptions options;
    options.context_tokens = room.context_tokens;
    options.sessions_max = room.at_once;
    options.prefill_chunk = prefill_chunk;
    const auto memory = engine::plan_memory(plan, options);
    if (memory.ok()) return room;
    if (room.at_once == 1 || memory.error().code != Code::kResourceExhausted) return memory.error();
  }
}

}  // namespace naru::eval
