// What the tables of ops share: checks of operands' shapes, each a mistake of ours that stops the program, and costs.
#pragma once

#include <algorithm>

#include "base/check.h"
#include "contract/op_table.h"

namespace naru::contract {

inline void check_view(std::string_view op, const char* operand, const View& view, DType dtype, int64_t rows,
                       int64_t cols) {
  NARU_CHECK(!view.empty() || rows * cols == 0, op, operand, "is missing");
  NARU_CHECK(view.dtype == dtype, op, operand, dtype_name(view.dtype), "wanted", dtype_name(dtype));
  NARU_CHECK(view.rows == rows && view.cols == cols, op, operand, view.rows, view.cols, "wanted", rows, cols);
  NARU_CHECK(view.rows <= 1 || view.row_stride >= view.cols, op, operand, view.row_stride, view.cols);
}

inline void check_f32(std::string_view op, const char* operand, const View& view, int64_t rows, int64_t cols) {
  check_view(op, operand, view, DType::kF32, rows, cols);
}

inline void check_sequences(std::string_view op, SequencesRef sequences, int64_t n_rows) {
  for (const SequenceRows& rows : sequences) {
    NARU_CHECK(rows.pages != nullptr && rows.row_begin >= 0 && rows.n_rows > 0 && rows.position_begin >= 0, op);
    NARU_CHECK(rows.row_begin + rows.n_rows <= n_rows, op, rows.row_begin, rows.n_rows, n_rows);
  }
}

inline void check_stream(std::string_view op, const CacheStream& stream) {
  NARU_CHECK(!stream.address.is_null() && stream.page_bytes > 0, op);
  NARU_CHECK(stream.shape.dtype == DType::kF32 || stream.shape.dtype == DType::kBF16, op,
             dtype_name(stream.shape.dtype));
  NARU_CHECK(stream.shape.heads > 0 && stream.shape.width > 0 && stream.shape.width <= kSegmentWidthMax, op,
             stream.shape.heads, stream.shape.width);
}

inline void check_selected(std::string_view op, const View& selected, int64_t n_tokens) {
  if (selected.empty()) return;
  NARU_CHECK(selected.cols > 0, op, "lists without room");
  check_view(op, "selected", selected, DType::kI32, n_tokens, selected.cols);
}

// Positions that the rows of a sequence see, added up: all up to their own, or lists as full as they can be.
inline double seen_positions(const SequenceRows& rows, const View& selected) {
  const int64_t longest = selected.empty() ? rows.position_begin + rows.n_rows : selected.cols;
  const int64_t n_short = std::clamp(longest - rows.position_begin, int64_t{0}, rows.n_rows);  // rows below `longest`
  return static_cast<double>(n_short) *
             (static_cast<double>(rows.position_begin) + 0.5 * static_cast<double>(n_short + 1)) +
         static_cast<double>(rows.n_rows - n_short) * static_cast<double>(longest);
}

inline double view_bytes(const View& view) {
  return static_cast<double>(view.rows * view.cols * dtype_info(view.dtype).block_bytes);
}

inline double count_of(const View& view) {
  return static_cast<double>(view.rows * view.cols);
}

// `flops_each` operations for each element of `view`, and `operands` values read or written for each.
inline Cost elementwise(double flops_each, const View& view, double operands) {
  return {flops_each * count_of(view), operands * 4 * count_of(view)};
}

}  // namespace naru::contract
