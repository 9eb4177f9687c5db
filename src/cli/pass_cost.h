// What one forward pass must move and compute: found by running it on a planner and adding up the contract's cost of
// every op.
#pragma once

#include "base/result.h"
#include "models/model.h"

namespace naru::cli {

struct PassCost {
  double bytes = 0;     // weights, cache and operands, each once
  double f32_ops = 0;   // multiplications and additions by rule: f32 and everything that is no product,
  double bf16_ops = 0;  // bf16,
  double int8_ops = 0;  // and the rules with integer activations
};

struct PassShape {
  int64_t n_sequences = 1;
  int64_t rows_each = 1;
  int64_t depth = 0;  // positions in the cache of each before
};

Result<PassCost> pass_cost(const models::ModelPlan& plan, const PassShape& shape);

}  // namespace naru::cli
