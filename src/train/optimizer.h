// Optimizer: from gradients to new values, made of contract ops. AdamW for everything, or Muon for the matrices inside
// layers and AdamW for the rest (embedding, head, routers, norms, biases). Arithmetic: docs/arithmetic.md section 7 and
// docs/training.md.
#pragma once

#include <string>
#include <vector>

#include "train/trainable_model.h"

namespace naru::train {

class Optimizer {
 public:
  static Result<Optimizer> create(const OptimizerRecipe& recipe, const TrainableModel& model);

  // Square root of the sum of squares of all gradients.
  Result<double> gradient_norm(const ParameterBuffer& grads);

  // One update at the rate `lr`, the t-th (from 1), of gradients times `grad_scale`. The model's matrices are made
  // again by refresh(), which is the caller's.
  Status update(const ParameterBuffer& grads, double lr, double grad_scale, int64_t t);

  // First and second moments (Muon: its momentum is the first), for checkpoints.
  const ParameterBuffer& first() const { return first_; }
  const ParameterBuffer& second() const { return second_; }
  bool is_muon(int64_t index) const { return is_muon_[static_cast<size_t>(index)]; }
  int64_t bytes() const { return first_.bytes() + second_.bytes(); }

 private:
  Optimizer(const OptimizerRecipe& recipe, const TrainableModel& model);
  Status adamw(int64_t index, View grad, double lr, double grad_scale, int64_t t);
  Status muon(int64_t index, View grad, double lr, double grad_scale);
  Result<double> sum_of_squares(View x);
  double decay_of(int64_t index) const;

  OptimizerRecipe recipe_;
  const TrainableModel* model_;
  ParameterBuffer first_, second_;
  std::vector<bool> is_muon_;
  std::unique_ptr<contract::Buffer> scalar_;
  std::unique_ptr<contract::Buffer> work_;  // of Muon: three matrices of the largest size, two of the smaller side
  int64_t work_floats_ = 0, side_floats_ = 0;
};

}  // namespace naru::train
