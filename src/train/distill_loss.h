// DistillLoss: the objective of on-policy distillation (kind = "distill"). At every token of an answer of the student's
// own it is the reverse KL to the teachers over the whole vocabulary (reverse_kl.h), at temperature 1 whatever the
// answer was drawn with. A micro-batch runs through every teacher; logits of both sides come to the host some rows at a
// time, as in drawn_rows.h.
//
// Micro-batches are those of answer_batch.h, with the signals of PolicySignal: what the trainer says of the tokens of
// the first update must be the bits that the rollout said (check_on_policy()).
#pragma once

#include <memory>
#include <vector>

#include "train/objective.h"
#include "train/teacher.h"

namespace naru::train {

class DistillLoss final : public LogitsLoss {
 public:
  // What answers were drawn with: recipes::DistillRecipe::temperature. Teachers are loaded before the first micro-batch
  // that is no plan's.
  DistillLoss(std::shared_ptr<std::vector<Teacher>> teachers, double temperature)
      : teachers_(std::move(teachers)), temperature_(temperature) {}

  int64_t n_signals() const override;
  Result<std::unique_ptr<LogitsPass>> begin(contract::Chip& chip, nn::Workspace& workspace,
                                            const data::MicroBatch& batch) const override;

 private:
  std::shared_ptr<std::vector<Teacher>> teachers_;
  double temperature_;
};

}  // namespace naru::train
