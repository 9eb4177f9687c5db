// HeadPass: what stands behind the residual streams of a micro-batch: the model's head, and in training those of its
// prediction layers. From a stream to the losses of its rows and back to the stream's gradient, kHeadRows
// token slots at a time. How often that is done and what becomes of its logits is the objective's (objective.h).
#pragma once

#include <vector>

#include "models/decoder.h"
#include "nn/tape.h"
#include "train/objective.h"
#include "train/shared_prompts.h"

namespace naru::train {

// One head of a micro-batch of T rows.
struct HeadWork {
  const nn::Norm* norm = nullptr;
  View state;                      // [T, C], the stream
  std::vector<float> row_weights;  // [T], of the micro-batch
  double weight = 1;               // the gradient of a row counts row weight * weight / divisor times
  double divisor = 1;              // 0: nothing counts
  View targets;                    // i32 [T, 1]
  View weights;                    // [T, 1], for what the gradient's rows count
  View losses;                     // [T, 1]
  View grad;                       // [T, C], of the stream; empty: the losses alone
};

// What an objective of log-probabilities made of a micro-batch.
struct WeighedRows {
  std::vector<float> losses;  // of the whole micro-batch: before weighting
  PolicyStatistics statistics;
};

class HeadPass {
 public:
  // On a planner, where no log-probability is one, every row is taken to count.
  HeadPass(nn::Context& ctx, const models::Decoder& decoder, const nn::Bindings& bindings, const SharedPrompts& shared)
      : ctx_(ctx), decoder_(decoder), bindings_(bindings), shared_(shared), batch_(shared.rows()) {}

  // The losses are on the chip, in work.losses.
  Status run(const HeadWork& work, CrossEntropyLoss loss);
  Status run(const HeadWork& work, const LogitsLoss& loss, PolicyStatistics& statistics);
  // They are on the host, in `rows`; work.losses is not defined.
  Status run(const HeadWork& work, const LogProbLoss& loss, WeighedRows& rows);

 private:
  template <typename Loss>  // Status(View logits, begin): the rows' losses, and their gradient in place of the logits
  Status run_rows(const HeadWork& work, int64_t begin, int64_t n, bool to_gradient, const Loss& loss);
  template <typename Loss>
  Status run_counted(const HeadWork& work, const std::vector<float>& counted, bool to_gradient, const Loss& loss);
  Status log_probs(const HeadWork& work, std::vector<float>& out);
  // Where log p is not the LogProb op's: the rows of logits by way of the host (drawn_rows.h).
  Status drawn_log_probs(const HeadWork& work, float temperature, std::vector<float>& out);
  Status drawn_gradient(const HeadWork& work, float temperature, const std::vector<float>& weights);
  Status cross_entropy(const HeadWork& work, const std::vector<float>& weights, const std::vector<float>& counted);
  Status put_weights(const HeadWork& work, const std::vector<float>& weights);

  nn::Context& ctx_;
  const models::Decoder& decoder_;
  const nn::Bindings& bindings_;
  const SharedPrompts& shared_;
  const data::MicroBatch& batch_;  // the rows that are computed
};

}  // namespace naru::train
