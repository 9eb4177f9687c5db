#include "train/policy_statistics.h"

#include <algorithm>

namespace naru::train {

void PolicyStatistics::add_ratio(double ratio) {
  ratio_least = n_tokens == 1 ? ratio : std::min(ratio_least, ratio);
  ratio_most = n_tokens == 1 ? ratio : std::max(ratio_most, ratio);
}

void PolicyStatistics::add(const PolicyStatistics& other) {
  if (other.n_tokens == 0) return;
  ratio_least = n_tokens == 0 ? other.ratio_least : std::min(ratio_least, other.ratio_least);
  ratio_most = n_tokens == 0 ? other.ratio_most : std::max(ratio_most, other.ratio_most);
  n_tokens += other.n_tokens;
  n_compared += other.n_compared;
  n_changed += other.n_changed;
  n_clipped += other.n_clipped;
  n_masked += other.n_masked;
  kl += other.kl;
  entropy += other.entropy;
}

std::vector<std::pair<std::string, double>> policy_metrics(const PolicyStatistics& statistics, int64_t n_compared,
                                                           bool has_kl) {
  const auto of_tokens = [&](double sum) {
    return sum / static_cast<double>(std::max<int64_t>(1, statistics.n_tokens));
  };
  std::vector<std::pair<std::string, double>> metrics = {
      {"ratio_least", statistics.ratio_least},
      {"ratio_most", statistics.ratio_most},
      {"clipped_share", of_tokens(static_cast<double>(statistics.n_clipped))},
      {"masked_share", of_tokens(static_cast<double>(statistics.n_masked))},
      {"tokens_compared", static_cast<double>(statistics.n_compared)},
      {"tokens_compared_total", static_cast<double>(n_compared)},
      {"tokens_changed", static_cast<double>(statistics.n_changed)}};
  if (has_kl) metrics.emplace_back("kl", of_tokens(statistics.kl));
  return metrics;
}

std::vector<std::pair<std::string, double>> distill_metrics(const PolicyStatistics& statistics, int64_t n_compared) {
  const auto n_tokens = static_cast<double>(std::max<int64_t>(1, statistics.n_tokens));
  return {{"reverse_kl", statistics.kl / n_tokens},
          {"entropy", statistics.entropy / n_tokens},
          {"tokens_compared", static_cast<double>(statistics.n_compared)},
          {"tokens_compared_total", static_cast<double>(n_compared)},
          {"tokens_changed", static_cast<double>(statistics.n_changed)}};
}

}  // namespace naru::train
