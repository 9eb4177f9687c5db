// Derivatives in double of the forward's definition, for gradients of the reference chip.
#pragma once

#include <cmath>
#include <vector>

#include "tests/contract/row_rig.h"

namespace naru::row_tests {

constexpr double kUnit = 0x1p-24;  // a rounding's largest relative error

// d f / d x at x by the five-point rule: its own error is near 1e-12 of f's size for the smooth f of these tests.
template <typename Function>
double derivative(const Function& f, double x) {
  const double h = 1e-3;
  return (8 * (f(x + h) - f(x - h)) - (f(x + 2 * h) - f(x - 2 * h))) / (12 * h);
}

// The same with respect to one element of a vector that f reads.
template <typename Function>
double derivative_at(std::vector<double>& x, size_t k, const Function& f) {
  const double at = x[k];
  const double result = derivative(
      [&](double value) {
        x[k] = value;
        return f();
      },
      at);
  x[k] = at;
  return result;
}

inline std::vector<double> doubles(const float* x, int64_t n) {
  return {x, x + n};
}

}  // namespace naru::row_tests
