// What the tables of ops share: checks of operands' shapes, each a mistake of ours that stops the program, and the
// cost and validity of the ops of training (grad_op_table.cpp).
#pragma once

#include "base/check.h"
#include "contract/op_table.h"

namespace naru::contract {

inline void check_view(const char* op, const char* operand, const View& view, DType dtype, int64_t rows, int64_t cols) {
  NARU_CHECK(!view.empty() || rows * cols == 0, op, operand, "is missing");
  NARU_CHECK(view.dtype == dtype, op, operand, dtype_name(view.dtype), "wanted", dtype_name(dtype));
  NARU_CHECK(view.rows == rows && view.cols == cols, op, operand, view.rows, view.cols, "wanted", rows, cols);
  NARU_CHECK(view.rows <= 1 || view.row_stride >= view.cols, op, operand, view.row_stride, view.cols);
}

inline void check_f32(const char* op, const char* operand, const View& view, int64_t rows, int64_t cols) {
  check_view(op, operand, view, DType::kF32, rows, cols);
}

inline void check_sequences(const char* op, std::span<const SequenceRows> sequences, int64_t n_rows) {
  for (const SequenceRows& rows : sequences) {
    NARU_CHECK(rows.pages != nullptr && rows.row_begin >= 0 && rows.n_rows > 0 && rows.position_begin >= 0, op);
    NARU_CHECK(rows.row_begin + rows.n_rows <= n_rows, op, rows.row_begin, rows.n_rows, n_rows);
  }
}

inline void check_stream(const char* op, const CacheStream& stream) {
  NARU_CHECK(stream.data != nullptr && stream.page_bytes > 0, op);
  NARU_CHECK(stream.shape.dtype == DType::kF32 || stream.shape.dtype == DType::kBF16, op,
             dtype_name(stream.shape.dtype));
  NARU_CHECK(stream.shape.heads > 0 && stream.shape.width > 0 && stream.shape.width <= kSegmentWidthMax, op,
             stream.shape.heads, stream.shape.width);
}

inline double view_bytes(const View& view) {
  return static_cast<double>(view.rows * view.cols * dtype_info(view.dtype).block_bytes);
}

Cost grad_cost(const Pack& op);
void grad_validate(const Pack& op);
Cost grad_cost(const WeightGrad& op);
void grad_validate(const WeightGrad& op);
Cost grad_cost(const Product& op);
void grad_validate(const Product& op);
Cost grad_cost(const ColumnSum& op);
void grad_validate(const ColumnSum& op);
Cost grad_cost(const SumSlots& op);
void grad_validate(const SumSlots& op);
Cost grad_cost(const RmsNormGrad& op);
void grad_validate(const RmsNormGrad& op);
Cost grad_cost(const RopeGrad& op);
void grad_validate(const RopeGrad& op);
Cost grad_cost(const AttentionGrad& op);
void grad_validate(const AttentionGrad& op);
Cost grad_cost(const SiluMulGrad& op);
void grad_validate(const SiluMulGrad& op);
Cost grad_cost(const CombineGrad& op);
void grad_validate(const CombineGrad& op);
Cost grad_cost(const RouteGrad& op);
void grad_validate(const RouteGrad& op);
Cost grad_cost(const BalanceLoss& op);
void grad_validate(const BalanceLoss& op);
Cost grad_cost(const CrossEntropy& op);
void grad_validate(const CrossEntropy& op);
Cost grad_cost(const EmbedGrad& op);
void grad_validate(const EmbedGrad& op);
Cost grad_cost(const Fill& op);
void grad_validate(const Fill& op);
Cost grad_cost(const Axpby& op);
void grad_validate(const Axpby& op);
Cost grad_cost(const SumOfSquares& op);
void grad_validate(const SumOfSquares& op);
Cost grad_cost(const AdamW& op);
void grad_validate(const AdamW& op);

}  // namespace naru::contract
