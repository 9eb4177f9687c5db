// What tests of the ops of training share: shapes, ops with several outputs compared on bits, and derivatives in double
// of the forward's definition, for gradients of the reference chip.
#pragma once

#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "tests/contract/row_rig.h"

namespace naru::row_tests {

constexpr Values kEveryValues[] = {Values::kPlain, Values::kAll, Values::kLow, Values::kNonFinite};

struct Shape {
  int64_t rows, cols;
};
// Odd widths of few rows; then rows that fill segments of 2048, narrow; then enough of both that threads share them.
inline std::vector<Shape> grad_shapes() {
  std::vector<Shape> shapes;
  for (const int64_t cols : {1, 15, 16, 17, 33, 100, 2047, 2049, 5000}) {
    shapes.push_back({1, cols});
    shapes.push_back({31, cols});
  }
  for (const int64_t rows : {513, 2049, 4100}) {
    for (const int64_t cols : {1, 17, 33}) shapes.push_back({rows, cols});
  }
  shapes.push_back({513, 100});
  shapes.push_back({8200, 5});  // five segments and more: a tree is no chain
  shapes.push_back({2, 10300});
  return shapes;
}

inline std::string label(const char* op, Shape shape, Values values) {
  return std::string(op) + " " + std::to_string(shape.rows) + " x " + std::to_string(shape.cols) + ", values " +
         std::to_string(static_cast<int>(values));
}

// As expect_equal, of an op with several outputs: `make(outputs)` writes them, from the bits of `start`.
using Outputs = std::vector<Rows>;
inline void expect_outputs_equal(const std::string& what, const Outputs& start,
                                 const std::function<contract::Op(Outputs&)>& make) {
  Outputs want = start;
  const Status wanted = reference_chip().run(make(want));
  for (const NamedChip& named : staged_cpu_chips()) {
    Outputs got = start;
    const Status status = named.chip->run(make(got));
    ASSERT_EQ(status.ok(), wanted.ok()) << what << " on " << named.name;
    if (!wanted.ok()) {
      ASSERT_EQ(status.error().message, wanted.error().message) << what << " on " << named.name;
      continue;
    }
    for (size_t i = 0; i < start.size(); ++i) {
      ASSERT_EQ(difference(got[i], want[i]), "") << what << ", output " << i << ", on " << named.name;
    }
  }
}

inline void run_reference(const contract::Op& op) {
  const Status status = reference_chip().run(op);
  ASSERT_TRUE(status.ok()) << status.error().message;
}

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
