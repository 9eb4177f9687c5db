// View: a two-dimensional window on memory of a chip: `rows` rows of `cols` contiguous elements, `row_stride`
// elements apart. It owns nothing. `data` is an address in the chip's own address space; only chips that say they are
// host addressable let the host read it.
#pragma once

#include <cstdint>

#include "base/check.h"
#include "tensor/dtype.h"

namespace naru {

struct View {
  void* data = nullptr;
  DType dtype = DType::kF32;
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t row_stride = 0;

  bool empty() const { return data == nullptr; }

  float* f32(int64_t row = 0) const {
    NARU_DCHECK(dtype == DType::kF32);
    return static_cast<float*>(data) + row * row_stride;
  }
  int32_t* i32(int64_t row = 0) const {
    NARU_DCHECK(dtype == DType::kI32);
    return static_cast<int32_t*>(data) + row * row_stride;
  }

  // Rows [begin, begin + n).
  View slice_rows(int64_t begin, int64_t n) const {
    NARU_CHECK(begin >= 0 && n >= 0 && begin + n <= rows, begin, n, rows);
    return {static_cast<char*>(data) + begin * row_stride * dtype_info(dtype).block_bytes, dtype, n, cols, row_stride};
  }
  // Columns [begin, begin + n) of every row.
  View slice_cols(int64_t begin, int64_t n) const {
    NARU_CHECK(begin >= 0 && n >= 0 && begin + n <= cols, begin, n, cols);
    return {static_cast<char*>(data) + begin * dtype_info(dtype).block_bytes, dtype, rows, n, row_stride};
  }
  // Each row cut into `parts` equal rows: [rows, cols] as [rows * parts, cols / parts]. Rows must be contiguous, or
  // the parts regular: row_stride is then the stride of a part.
  View split_cols(int64_t parts) const {
    NARU_CHECK(parts > 0 && cols % parts == 0 && (row_stride == cols || rows <= 1), parts, cols, row_stride);
    return {data, dtype, rows * parts, cols / parts, cols / parts};
  }
};

// A contiguous view.
inline View make_view(void* data, DType dtype, int64_t rows, int64_t cols) {
  return {data, dtype, rows, cols, cols};
}

}  // namespace naru
