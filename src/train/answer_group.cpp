#include "train/answer_group.h"

#include <algorithm>

namespace naru::train {

bool AnswerGroup::is_flat() const {
  return std::all_of(advantages.begin(), advantages.end(), [](double a) { return a == 0; });
}

namespace {

// The value that `percent` of 100 values are at most: the nearest rank. `sorted` has at least one.
double quantile(const std::vector<int64_t>& sorted, int64_t percent) {
  const int64_t rank = (std::ssize(sorted) * percent + 99) / 100;
  return static_cast<double>(sorted[static_cast<size_t>(std::max<int64_t>(1, rank) - 1)]);
}

}  // namespace

std::vector<std::pair<std::string, double>> rollout_metrics(const std::vector<AnswerGroup>& groups,
                                                            const std::vector<std::string>& part_names) {
  double reward = 0, right = 0, tokens = 0, cut = 0, log_prob = 0, flat = 0, n = 0;
  std::vector<double> parts(part_names.size(), 0.0);
  std::vector<int64_t> lengths;
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
      lengths.push_back(std::ssize(answer.ids));
      for (const float p : answer.log_probs) log_prob += static_cast<double>(p);
      for (size_t i = 0; i < parts.size(); ++i) parts[i] += judgement.parts[i];
    }
  }
  std::sort(lengths.begin(), lengths.end());
  std::vector<std::pair<std::string, double>> metrics = {{"reward", reward / n},
                                                         {"rollout_accuracy", right / n},
                                                         {"answer_tokens", tokens / n},
                                                         {"answer_tokens_p10", quantile(lengths, 10)},
                                                         {"answer_tokens_p50", quantile(lengths, 50)},
                                                         {"answer_tokens_p90", quantile(lengths, 90)},
                                                         {"answer_tokens_max", static_cast<double>(lengths.back())},
                                                         {"cut_share", cut / n},
                                                         {"flat_groups", flat / static_cast<double>(groups.size())},
                                                         {"answer_log_prob", log_prob / std::max(1.0, tokens)}};
  for (size_t i = 0; i < parts.size(); ++i) metrics.emplace_back("reward_" + part_names[i], parts[i] / n);
  return metrics;
}

std::vector<runs::ShownGroup> shown_groups(const std::vector<AnswerGroup>& groups,
                                           const std::vector<std::string>& part_names, bool is_chat) {
  std::vector<runs::ShownGroup> shown;
  for (const bool is_flat : {false, true}) {
    const auto group = std::find_if(groups.begin(), groups.end(),
                                    [is_flat](const AnswerGroup& one) { return one.is_flat() == is_flat; });
    if (group == groups.end()) continue;
    runs::ShownGroup& one = shown.emplace_back();
    one.problem = group->number;
    one.prompt = is_chat ? group->problem.prompt : group->problem.text_prompt;
    one.wanted = group->problem.solution;
    one.part_names = part_names;
    for (size_t k = 0; k < group->answers.size(); ++k) {
      const rewards::Judgement& judgement = group->judgements[k];
      one.answers.push_back({.text = group->texts[k],
                             .tokens = std::ssize(group->answers[k].ids),
                             .is_right = judgement.is_right,
                             .is_cut = group->answers[k].is_cut,
                             .reward = judgement.reward,
                             .advantage = group->advantages[k],
                             .parts = judgement.parts});
    }
  }
  return shown;
}

}  // namespace naru::train
