#include "check/program.h"

#include <algorithm>
#include <cstring>

#include "base/checked.h"

namespace naru::check {
namespace {

constexpr int64_t kGuard = 64;  // bytes before and behind a view

}  // namespace

View Program::place(DType dtype, int64_t rows, int64_t cols) {
  NARU_CHECK(rows >= 0 && cols >= 0 && dtype_info(dtype).block_bytes == 4, rows, cols);
  const int64_t stride = cols + drawing_.gap;
  const auto end = static_cast<int64_t>(image_.size());
  const int64_t shift = drawing_.gap == 0 ? 0 : n_views_ * 5 % 16 * 4;
  const int64_t begin = round_up(end + kGuard, 64) + shift;
  ++n_views_;
  image_.resize(static_cast<size_t>(begin + rows * stride * 4 + kGuard));
  for (auto at = static_cast<size_t>(end); at < image_.size(); at += 4) {
    std::memcpy(image_.data() + at, &kUnwritten, sizeof(kUnwritten));
  }
  return {ChipAddress() + begin, dtype, rows, cols, stride};
}

std::byte* Program::bytes_of(const View& view, int64_t r) {
  NARU_CHECK(!view.empty() && r >= 0 && r < view.rows, r, view.rows);
  return image_.data() + place_of(view) + r * view.row_stride * 4;
}

View Program::drawn(uint32_t stream, int64_t rows, int64_t cols, Values values) {
  const Values kind = drawing_.values == Values::kGolden ? Values::kGolden : values;
  return floats(drawn_floats(drawing_.seed, stream, rows * cols, kind), rows, cols);
}

View Program::floats(std::span<const float> values, int64_t rows, int64_t cols) {
  NARU_CHECK(static_cast<int64_t>(values.size()) == rows * cols, values.size(), rows, cols);
  const View view = place(DType::kF32, rows, cols);
  for (int64_t r = 0; r < rows; ++r) std::copy_n(values.begin() + r * cols, cols, row(view, r));
  return view;
}

View Program::ints(std::span<const int32_t> values, int64_t rows, int64_t cols) {
  NARU_CHECK(static_cast<int64_t>(values.size()) == rows * cols, values.size(), rows, cols);
  const View view = place(DType::kI32, rows, cols);
  for (int64_t r = 0; r < rows; ++r) std::copy_n(values.begin() + r * cols, cols, row_i32(view, r));
  return view;
}

View Program::unwritten(int64_t rows, int64_t cols, DType dtype) {
  return place(dtype, rows, cols);
}

View Program::output(std::string name, const View& view) {
  outputs_.push_back({std::move(name), view});
  return view;
}

const contract::PackedMatrix* Program::matrix(DType stored, contract::Rule rule, uint32_t stream, int64_t groups,
                                              int64_t outputs, int64_t inputs) {
  const Values values = drawing_.values;
  std::vector<float> scales;
  if (rule == contract::Rule::kW8A8) scales = drawn_floats(drawing_.seed, stream + 1, groups * outputs, values);
  return matrix(stored, rule, groups, outputs, inputs,
                stored_rows(stored, drawing_.seed, stream, groups * outputs, inputs, values), std::move(scales));
}

const contract::PackedMatrix* Program::matrix(DType stored, contract::Rule rule, int64_t groups, int64_t outputs,
                                              int64_t inputs, std::vector<std::byte> rows, std::vector<float> scales) {
  const auto row_bytes = dtype_bytes(stored, inputs);
  NARU_CHECK(row_bytes && static_cast<int64_t>(rows.size()) == groups * outputs * *row_bytes, rows.size(), inputs);
  auto matrix = std::make_unique<Matrix>();
  matrix->rule = rule;
  matrix->stored = stored;
  matrix->groups = groups;
  matrix->outputs = outputs;
  matrix->inputs = inputs;
  matrix->index = matrices_.size();
  matrix->rows = std::move(rows);
  matrix->scales = std::move(scales);
  matrices_.push_back(std::move(matrix));
  return matrices_.back().get();
}

contract::PackedMatrix* Program::blank_matrix(contract::Rule rule, int64_t groups, int64_t outputs, int64_t inputs) {
  matrix(DType::kF32, rule, groups, outputs, inputs,
         std::vector<std::byte>(static_cast<size_t>(groups * outputs * inputs * 4)), {});
  return matrices_.back().get();
}

void Program::drop_signs() {
  const auto drop = [](std::vector<std::byte>& bytes, size_t element_bytes) {
    for (size_t at = element_bytes - 1; at < bytes.size(); at += element_bytes) bytes[at] &= std::byte{0x7f};
  };
  drop(image_, 4);
  for (const auto& matrix : matrices_) {
    const bool is_float =
        matrix->stored == DType::kF32 || matrix->stored == DType::kF16 || matrix->stored == DType::kBF16;
    NARU_CHECK(is_float, "a matrix without signs", dtype_name(matrix->stored));
    drop(matrix->rows, static_cast<size_t>(dtype_info(matrix->stored).block_bytes));
  }
}

contract::MatrixSource Program::Matrix::source() const {
  const int64_t row_bytes = *dtype_bytes(stored, inputs);
  return {.dtype = stored,
          .groups = groups,
          .outputs = outputs,
          .inputs = inputs,
          // Rows come by both ways that a source has.
          .row = [this, row_bytes](int64_t group, int64_t output, std::byte* scratch) -> const std::byte* {
            const std::byte* row = rows.data() + (group * outputs + output) * row_bytes;
            if (output % 2 == 0 || row_bytes == 0) return row;
            std::memcpy(scratch, row, static_cast<size_t>(row_bytes));
            return scratch;
          },
          .scales = scales.empty() ? nullptr : scales.data()};
}

contract::CacheStream Program::stream(const contract::CacheShape& shape, int64_t n_pages) {
  streams_.push_back({shape, n_pages});
  return {shape, ChipAddress() + static_cast<int64_t>(streams_.size()), 1};
}

contract::SequencesRef Program::sequences(std::span<const contract::SequenceRows> rows) {
  sequences_.push_back(std::make_unique<NumberedSequences>(rows, sequences_.size()));
  return *sequences_.back();
}

std::span<const View> Program::list(std::vector<View> views) {
  view_lists_.push_back(std::make_unique<std::vector<View>>(std::move(views)));
  return *view_lists_.back();
}

std::span<const float> Program::list(std::vector<float> values) {
  float_lists_.push_back(std::make_unique<std::vector<float>>(std::move(values)));
  return *float_lists_.back();
}

}  // namespace naru::check
