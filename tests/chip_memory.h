// Values between a test and the memory of a chip.
#pragma once

#include <memory>
#include <vector>

#include "contract/chip.h"

namespace naru::test {

inline void check(const Status& status) {
  NARU_CHECK(status.ok(), status.ok() ? "" : status.error().message);
}

// Rows of 4-byte elements on a chip.
struct ChipRows {
  std::unique_ptr<contract::Buffer> buffer;
  View view;
};
inline ChipRows rows_on(contract::Chip& chip, const void* data, DType dtype, int64_t rows, int64_t cols) {
  ChipRows result{chip.allocate(rows * cols * 4).value(), {}};
  result.view = make_view(result.buffer->address(), dtype, rows, cols);
  check(chip.copy_in(result.view.address, data, rows * cols * 4));
  return result;
}

inline std::vector<float> floats_of(contract::Chip& chip, View view) {
  std::vector<float> values(static_cast<size_t>(view.rows * view.cols));
  for (int64_t r = 0; r < view.rows; ++r) {
    check(chip.copy_out(values.data() + r * view.cols, view.slice_rows(r, 1).address, view.cols * 4));
  }
  return values;
}
// The contiguous view becomes these values.
inline void set_floats(contract::Chip& chip, View view, const std::vector<float>& values) {
  NARU_CHECK(view.row_stride == view.cols && view.rows * view.cols == static_cast<int64_t>(values.size()));
  check(chip.copy_in(view.address, values.data(), static_cast<int64_t>(values.size()) * 4));
}

}  // namespace naru::test
