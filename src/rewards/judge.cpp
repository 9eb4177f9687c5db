#include "rewards/judge.h"

namespace naru::rewards {
namespace {

// A soft bound on length (DAPO, arXiv 2503.14476): nothing up to it, then falling to -1 at the longest answer.
double length_part(int64_t n_tokens, int64_t max_tokens, int64_t soft_tokens) {
  if (soft_tokens == 0 || n_tokens <= max_tokens - soft_tokens) return 0;
  return -static_cast<double>(n_tokens - (max_tokens - soft_tokens)) / static_cast<double>(soft_tokens);
}

}  // namespace

Result<Judge> Judge::open(const recipes::Recipe& recipe) {
  Judge judge;
  judge.names_ = {"answer", "length"};
  judge.max_tokens_ = recipe.grpo.max_tokens;
  judge.soft_tokens_ = recipe.grpo.soft_tokens;
  return judge;
}

Result<std::vector<Judgement>> Judge::judge(const std::vector<JudgedText>& texts, const std::function<bool()>&) const {
  std::vector<Judgement> judgements;
  for (const JudgedText& text : texts) {
    Judgement& one = judgements.emplace_back();
    one.is_right = data::verify(*text.problem, text.answer).is_right;
    one.parts = {one.is_right ? 1.0 : 0.0, length_part(text.n_tokens, max_tokens_, soft_tokens_)};
    for (const double part : one.parts) one.reward += part;
  }
  return judgements;
}

}  // namespace naru::rewards
