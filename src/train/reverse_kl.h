// ReverseKl: how far a student is from its teachers where the student went, over the whole vocabulary at temperature 1,
// and its gradient (on-policy distillation; GKD, arXiv 2306.13649; as a weighted sum over teachers: DeepSeek-V4). With
// logits x of the student and y[i] of teacher i, p = softmax(x), q[i] = softmax(y[i]):
//
//   loss = sum over i of w[i] KL(p || q[i]),  KL(p || q) = sum over v of p[v] (log p[v] - log q[v])
//
// Teachers enter as their sum: with w = sum w[i], y = sum w[i] y[i], c = sum w[i] log sum exp y[i] and g = w x - y
//
//   loss = mean - w log sum exp x + c,  mean = sum over v of p[v] g[v];  d loss / d x[v] = p[v] (g[v] - mean)
//
// so that equal logits give 0. Exponentials of a row are contract::exp of x - max, as the sampler's (engine/exp_row.h);
// all else is in double, token by token ascending, and what leaves is rounded once. No bit depends on who asks.
#pragma once

#include <span>
#include <vector>

#include "base/result.h"

namespace naru::train {

class ReverseKl {
 public:
  struct Row {
    double loss = 0;     // as small as rounding allows below 0
    double entropy = 0;  // of p, in nats
  };

  // log sum exp of a row of logits. kOutOfRange where one is not finite.
  Result<double> log_sum(std::span<const float> logits);
  // Of one row, which gradient() is of until the next: x and y have a logit each for the whole vocabulary.
  Result<Row> set(std::span<const float> x, std::span<const float> y, double w, double c);
  // weight * d loss / d x; `out` may be the x of set(), whose values it reads.
  void gradient(float weight, std::span<const float> x, std::span<const float> y, std::span<float> out) const;

 private:
  struct Peak {
    float max = 0;
    double sum = 0;  // of the exponentials, which are in e_
  };
  Result<Peak> exponentials(std::span<const float> logits);

  std::vector<float> e_;
  double w_ = 1, sum_ = 1, mean_ = 0;  // of the row that was set
};

}  // namespace naru::train
