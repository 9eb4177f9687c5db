// DrawnRows: log-probabilities in the distribution that tokens were drawn from, softmax(logits / temperature) over
// those that truncation kept, and their gradient. Logits come to the host, some rows at a time, where they are what the
// rollout's sampler computes of the same bits (engine/kept_softmax.h). With other weights than the rollout's, the
// tokens that were kept then stay the policy's (keep sampling mask: DeepSeek-V3.2, arXiv 2512.02556).
#pragma once

#include <span>
#include <vector>

#include "contract/chip.h"
#include "data/batches.h"
#include "engine/kept_softmax.h"

namespace naru::train {

class DrawnRows {
 public:
  // Chip and batch outlive it.
  DrawnRows(contract::Chip& chip, const data::MicroBatch& batch, float temperature)
      : chip_(chip), batch_(batch), temperature_(temperature) {}

  // Of rows [begin, begin + n) of the micro-batch, [n, V]: log p of their targets into out[begin ...], of rows with a
  // weight. kOutOfRange where a logit is not finite.
  Status log_probs(View logits, int64_t begin, std::span<const float> weights, std::span<float> out);
  // Of one row on the host.
  Result<float> log_prob(size_t row, std::span<const float> logits);
  // In place of the logits: the gradient of the sum over rows of -weight * log p; +0 where the weight is 0.
  Status gradient(View logits, int64_t begin, std::span<const float> weights);

 private:
  // visit(row of the micro-batch, its logits [V])
  template <typename Visit>
  Status by_rows(View logits, int64_t begin, bool is_changed, const Visit& visit);
  // Makes softmax_ that of the row, and gives the place of its target.
  Result<size_t> weigh(size_t row, std::span<const float> logits);

  contract::Chip& chip_;
  const data::MicroBatch& batch_;
  float temperature_;
  engine::KeptSoftmax softmax_;
  std::vector<float> piece_;  // rows on the host
  std::vector<float> x_;      // logits of the kept tokens
  std::vector<int32_t> ids_;  // those, where the row keeps some only
};

}  // namespace naru::train
