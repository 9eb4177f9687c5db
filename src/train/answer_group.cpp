#include "train/answer_group.h"

#include <algorithm>

namespace naru::train {

bool AnswerGroup::is_flat() const {
  return std::all_of(advantages.begin(), advantages.end(), [](double a) { return a == 0; });
}

std::vector<std::pair<std::string, double>> rollout_metrics(const std::vector<AnswerGroup>& groups,
                                                            const std::vector<std::string>& part_names) {
  double reward = 0, right = 0, tokens = 0, cut = 0, log_prob = 0, flat = 0, n = 0;
  std::vector<double> parts(part_names.size(), 0.0);
  int64_t n_failures = 0;
  for (const AnswerGroup& group : groups) {
    flat += group.is_flat() ? 1 : 0;
    for (size_t k = 0; k < group.answers.size(); ++k) {
      const SampledAnswer& answer = group.answers[k];
      const rewards::Judgement& judgement = group.judgements[k];
      n += 1;
      reward += judgement.reward;
      right += judgement.is_right ? 1 : 0;
      cut += answer.is_cut ? 1 : 0;
      tokens += static_cast<double>(answer.ids.size());
      for (const float p : answer.log_probs) log_prob += static_cast<double>(p);
      for (size_t i = 0; i < parts.size(); ++i) parts[i] += judgement.parts[i];
      n_failures += judgement.n_failures;
    }
  }
  std::vector<std::pair<std::string, double>> metrics = {{"reward", reward / n},
                                                         {"rollout_accuracy", right / n},
                                                         {"answer_tokens", tokens / n},
                                                         {"cut_share", cut / n},
                                                         {"flat_groups", flat / static_cast<double>(groups.size())},
                                                         {"answer_log_prob", log_prob / std::max(1.0, tokens)}};
  for (size_t i = 0; i < parts.size(); ++i) metrics.emplace_back("reward_" + part_names[i], parts[i] / n);
  if (n_failures > 0) metrics.emplace_back("reward_failures", static_cast<double>(n_failures));
  return metrics;
}

}  // namespace naru::train
