#include "check/op_values.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "contract/op_members.h"
#include "contract/scalar.h"

namespace naru::check {
namespace {

constexpr int64_t kWideStride = 8;  // rows so many times as far apart as they are wide are read one by one

// The shapes in the order in which members come.
class Shapes {
 public:
  void operator()(const View& view) {
    if (!view.empty()) add(fmt::format("[{}, {}]", view.rows, view.cols));
  }
  void operator()(const contract::CacheStream& stream) {
    add(fmt::format("a cache of {} x {} {}", stream.shape.heads, stream.shape.width,
                    dtype_info(stream.shape.dtype).name));
  }
  void operator()(const contract::SequencesRef&) {}
  void operator()(const contract::PackedMatrix* const& matrix) { add_matrix(matrix); }
  void operator()(contract::PackedMatrix* const& matrix) { add_matrix(matrix); }
  void operator()(const std::span<const View>& views) {
    if (!views.empty()) add(fmt::format("{} x [{}, {}]", views.size(), views.front().rows, views.front().cols));
  }
  void operator()(const std::span<const float>&) {}
  const std::string& text() const { return text_; }

 private:
  void add(const std::string& shape) { text_ += (text_.empty() ? "" : ", ") + shape; }
  void add_matrix(const contract::PackedMatrix* matrix) {
    if (matrix == nullptr) return;
    const std::string groups = matrix->groups == 1 ? "" : fmt::format("{} x ", matrix->groups);
    add(fmt::format("{} {}[{}, {}]", contract::rule_name(matrix->rule), groups, matrix->outputs, matrix->inputs));
  }
  std::string text_;
};

double distance(DType dtype, uint32_t a, uint32_t b) {
  if (dtype == DType::kI32) return std::abs(double(std::bit_cast<int32_t>(a)) - double(std::bit_cast<int32_t>(b)));
  const double x = std::bit_cast<float>(a), y = std::bit_cast<float>(b);
  return std::isfinite(x) && std::isfinite(y) ? std::abs(x - y) : std::numeric_limits<double>::infinity();
}

}  // namespace

bool has_values(const View& view) {
  return !view.empty() && view.rows > 0 && view.cols > 0 && view.element_bytes() == 4;
}

Result<std::vector<uint32_t>> read_values(contract::Chip& chip, const View& view) {
  NARU_CHECK(has_values(view), view.rows, view.cols);
  std::vector<uint32_t> values(static_cast<size_t>(view.rows * view.cols));
  if (view.row_stride == view.cols || view.rows == 1) {
    NARU_TRY(chip.copy_out(values.data(), view.address, view.rows * view.cols * 4));
    return values;
  }
  if (view.row_stride > kWideStride * view.cols) {
    for (int64_t r = 0; r < view.rows; ++r) {
      NARU_TRY(chip.copy_out(values.data() + r * view.cols, view.slice_rows(r, 1).address, view.cols * 4));
    }
    return values;
  }
  std::vector<uint32_t> all(static_cast<size_t>((view.rows - 1) * view.row_stride + view.cols));
  NARU_TRY(chip.copy_out(all.data(), view.address, static_cast<int64_t>(all.size()) * 4));
  for (int64_t r = 0; r < view.rows; ++r) {
    std::copy_n(all.data() + r * view.row_stride, view.cols, values.data() + r * view.cols);
  }
  return values;
}

Status write_values(contract::Chip& chip, const View& view, std::span<const uint32_t> values) {
  NARU_CHECK(std::ssize(values) == view.rows * view.cols, values.size(), view.rows, view.cols);
  if (view.row_stride == view.cols || view.rows == 1) {
    return chip.copy_in(view.address, values.data(), view.rows * view.cols * 4);
  }
  for (int64_t r = 0; r < view.rows; ++r) {
    NARU_TRY(chip.copy_in(view.slice_rows(r, 1).address, values.data() + r * view.cols, view.cols * 4));
  }
  return {};
}

uint32_t canonical(DType dtype, uint32_t bits) {
  return dtype == DType::kF32 ? contract::canonical_bits(std::bit_cast<float>(bits)) : bits;
}

std::optional<ValueDifference> compare_values(DType dtype, int64_t cols, std::span<const uint32_t> checked,
                                              std::span<const uint32_t> against) {
  NARU_CHECK(checked.size() == against.size(), checked.size(), against.size());
  if (checked.empty() || std::memcmp(checked.data(), against.data(), checked.size_bytes()) == 0) return std::nullopt;
  ValueDifference difference;
  for (size_t i = 0; i < checked.size(); ++i) {
    const uint32_t a = canonical(dtype, checked[i]), b = canonical(dtype, against[i]);
    if (a == b) continue;
    if (difference.n++ == 0) {
      const auto at = static_cast<int64_t>(i);
      difference.row = at / cols;
      difference.col = at % cols;
      difference.checked = a;
      difference.against = b;
    }
    difference.largest = std::max(difference.largest, distance(dtype, a, b));
  }
  return difference.n == 0 ? std::nullopt : std::optional(difference);
}

std::string operands_text(const contract::Op& op) {
  Shapes shapes;
  std::visit([&](const auto& o) { contract::visit_members(o, shapes); }, op);
  return shapes.text();
}

}  // namespace naru::check
