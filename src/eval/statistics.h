// What numbers of right answers say of a model: pass@k, and a mean over problems with its confidence interval. The same
// bits on every machine.
#pragma once

#include <cstdint>
#include <span>

namespace naru::eval {

// The chance that at least one of k answers is right, estimated without bias from n answers of which n_right are
// (Chen et al. 2021, arXiv 2107.03374): 1 - C(n - n_right, k) / C(n, k). 1 <= k <= n.
double pass_at_k(int64_t n, int64_t n_right, int64_t k);

struct Interval {
  double mean = 0;
  double low = 0, high = 0;  // of 95 %
};

// The mean of values in [0, 1], one a problem, each made of `n_each` answers. The problems are the sample: answers to
// one problem are not independent. Wilson's score interval (1927) at the effective number of problems of Korn and
// Graubard (1998), mean * (1 - mean) / variance * n, kept between n and n * n_each; with one answer a problem that is
// Wilson's interval itself. Nothing is known without values: 0 to 1.
Interval mean_of(std::span<const double> values, int64_t n_each);

}  // namespace naru::eval
