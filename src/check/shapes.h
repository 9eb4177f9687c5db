// Shapes that several suites of training share.
#pragma once

#include <cstdint>
#include <vector>

namespace naru::check {

struct Shape {
  int64_t rows, cols;
};

// Long enough that threads share it. Which values it holds is for smaller shapes to say: a kernel's tasks do not ask.
inline bool is_long(Shape shape) {
  return shape.rows * shape.cols > 30000;
}

// Odd widths of few rows; then rows that fill segments of 2048, narrow; then enough of both that threads share them.
inline std::vector<Shape> gradient_shapes() {
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

}  // namespace naru::check
