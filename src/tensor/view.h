// View: a two-dimensional window on memory of a chip: `rows` rows of `cols` contiguous elements, `row_stride`
// elements apart. It owns nothing, and only the chip can read what it shows (chip_address.h).
#pragma once

#include <cstdint>

#include "base/check.h"
#include "tensor/chip_address.h"
#include "tensor/dtype.h"

namespace naru {

struct View {
  ChipAddress address;  // of the first element; null: no view
  DType dtype = DType::kF32;
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t row_stride = 0;

  bool empty() const { return address.is_null(); }
  int64_t element_bytes() const { return dtype_info(dtype).block_bytes; }

  // Rows [begin, begin + n).
  View slice_rows(int64_t begin, int64_t n) const {
    NARU_CHECK(begin >= 0 && n >= 0 && begin + n <= rows, begin, n, rows);
    return {address + begin * row_stride * element_bytes(), dtype, n, cols, row_stride};
  }
  // Columns [begin, begin + n) of every row.
  View slice_cols(int64_t begin, int64_t n) const {
    NARU_CHECK(begin >= 0 && n >= 0 && begin + n <= cols, begin, n, cols);
    return {address + begin * element_bytes(), dtype, rows, n, row_stride};
  }
  // Each row cut into `parts` equal rows: [rows, cols] as [rows * parts, cols / parts]. Rows must be contiguous, or
  // the parts regular: row_stride is then the stride of a part.
  View split_cols(int64_t parts) const {
    NARU_CHECK(parts > 0 && cols % parts == 0 && (row_stride == cols || rows <= 1), parts, cols, row_stride);
    return {address, dtype, rows * parts, cols / parts, cols / parts};
  }
};

// A contiguous view.
inline View make_view(ChipAddress address, DType dtype, int64_t rows, int64_t cols) {
  return {address, dtype, rows, cols, cols};
}

}  // namespace naru
