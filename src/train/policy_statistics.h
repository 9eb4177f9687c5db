// PolicyStatistics: what an update of a policy did, over all rows with a weight. Sums and extremes, so that
// micro-batches add up in their order, whichever process ran them.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace naru::train {

struct PolicyStatistics {
  int64_t n_tokens = 0;
  int64_t n_compared = 0;                  // by bits with what the rollout said, on the policy that sampled
  int64_t n_changed = 0;                   // log p is not the bits of what it was when the token was sampled
  int64_t n_clipped = 0;                   // rows whose first term has no gradient for its bound
  int64_t n_masked = 0;                    // rows of answers that off_policy_max left out
  double ratio_least = 1, ratio_most = 1;  // before clipping; of no token: 1
  double kl = 0;                           // summed: of kl's estimator, unweighted; of distillation the loss itself
  double entropy = 0;  // summed: of the policy over the whole vocabulary, where rows of logits are read

  void add_ratio(double ratio);  // of the token that n_tokens has just counted
  void add(const PolicyStatistics& other);
};

// For metrics.jsonl: names and values. `n_compared`: of the whole run so far. `has_kl`: a reference was read.
std::vector<std::pair<std::string, double>> policy_metrics(const PolicyStatistics& statistics, int64_t n_compared,
                                                           bool has_kl);
// Of distillation.
std::vector<std::pair<std::string, double>> distill_metrics(const PolicyStatistics& statistics, int64_t n_compared);

}  // namespace naru::train
