// Rows of values in memory of the test, and the reference chip on them, for tests of what its numbers are. What is only
// "equal to the reference chip" is a case of src/check/.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

#include "check/values.h"
#include "chips/reference/reference_chip.h"
#include "contract/scalar.h"
#include "tests/contract/cpu_chips.h"

namespace naru::row_tests {

using check::Values;
using test::NamedChip;
using test::staged_cpu_chips;

struct Filler : check::Filler {
  explicit Filler(uint64_t seed) : check::Filler(seed, 0) {}
};

struct Shape {
  int64_t rows, cols;
};

// Rows with a stride that is wider than they are; what lies between them must stay as it is.
class Rows {
 public:
  Rows(int64_t rows, int64_t cols, int64_t gap = 3)
      : rows_(rows), cols_(cols), stride_(cols + gap), data_(static_cast<size_t>(rows * stride_) + 1, kGap) {}
  Rows(int64_t rows, int64_t cols, Filler& filler, Values values) : Rows(rows, cols) {
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t c = 0; c < cols; ++c) row(r)[c] = filler.value(values);
  }
  float* row(int64_t r) { return data_.data() + r * stride_; }
  const float* row(int64_t r) const { return data_.data() + r * stride_; }
  int64_t rows() const { return rows_; }
  int64_t cols() const { return cols_; }
  View view() { return {address_of(data_.data()), DType::kF32, rows_, cols_, stride_}; }
  View view_i32() { return {address_of(data_.data()), DType::kI32, rows_, cols_, stride_}; }
  int32_t* row_i32(int64_t r) { return reinterpret_cast<int32_t*>(row(r)); }

 private:
  static constexpr float kGap = 12345.0f;
  int64_t rows_, cols_, stride_;
  std::vector<float> data_;
};

// The first element whose canonical bits differ, as text; empty where all are equal. Gaps count too.
inline std::string difference(Rows& got, Rows& want) {
  const int64_t n = got.view().row_stride * got.rows();
  for (int64_t i = 0; i < n; ++i) {
    const float a = got.row(0)[i], b = want.row(0)[i];
    if (contract::canonical_bits(a) == contract::canonical_bits(b)) continue;
    char text[160];
    std::snprintf(text, sizeof(text), "row %ld, column %ld: %a, wanted %a",
                  static_cast<long>(i / got.view().row_stride), static_cast<long>(i % got.view().row_stride),
                  static_cast<double>(a), static_cast<double>(b));
    return text;
  }
  return {};
}

inline contract::Chip& reference_chip() {
  static test::StagingChip chip(reference::make_reference_chip());
  return chip;
}

inline void run_reference(const contract::Op& op) {
  const Status status = reference_chip().run(op);
  ASSERT_TRUE(status.ok()) << status.error().message;
}

}  // namespace naru::row_tests
