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
  static Result<Optimizer> create(const recipes::OptimizerRecipe& recipe, const TrainableModel& model);

  // Square root of the sum of squares of all gradients: one op, one wait.
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
  Optimizer(const recipes::OptimizerRecipe& recipe, const TrainableModel& model);
  Status adamw(const std::vector<int64_t>& indexes, const ParameterBuffer& grads, double lr, double grad_scale,
               int64_t t);
  // Momentum, and the sum of squares of what will be made orthogonal, into slot `slot`.
  Status muon_begin(int64_t index, View grad, double grad_scale, int64_t slot);
  Status muon_end(int64_t index, View grad, double lr, double grad_scale, double squares);
  Status muon_direction(int64_t index, View grad, double grad_scale, View x);
  Result<std::vector<float>> read_slots(int64_t n);
  Status axpby(View x, double a, View y, double b, View out);
  double decay_of(int64_t index) const;

  recipes::OptimizerRecipe recipe_;
  const TrainableModel* model_;
  ParameterBuffer first_, second_;
  std::vector<bool> is_muon_;
  std::vector<size_t> by_name_;              // indexes in the order of names, in which the norm adds its tensors
  std::unique_ptr<contract::Buffer> slots_;  // a float for each parameter
  std::unique_ptr<contract::Buffer> work_;   // of Muon: three matrices of the largest size, two of the smaller side
  int64_t work_floats_ = 0, side_floats_ = 0;
};

}  // namespace naru::train
