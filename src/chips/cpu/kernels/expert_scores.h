// The scores of the experts of one token, from its router logits: softmax, or sigmoid of each.
#pragma once

#include "chips/cpu/kernels/row_loops.h"

namespace naru::cpu::NARU_LEVEL {

inline void make_scores(const float* x, int64_t n, contract::Scoring scoring, float* scores) {
  if (scoring == contract::Scoring::kSigmoid) {
    for_lanes(n, [&](int64_t i, int64_t) { store_at(scores, i, n, sigmoid(load_at(x, i, n))); });
    return;
  }
  const F32x16 m = splat(row_max(x, n));
  for_lanes(n, [&](int64_t i, int64_t) { store_at(scores, i, n, exp(sub(load_at(x, i, n), m))); });
  const F32x16 l = splat(row_sum(scores, n));
  for_lanes(n, [&](int64_t i, int64_t) { store_at(scores, i, n, div(load_at(scores, i, n), l)); });
}

}  // namespace naru::cpu::NARU_LEVEL
