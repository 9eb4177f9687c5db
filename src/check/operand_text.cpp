#include "check/operand_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "contract/kinds.h"
#include "contract/op_members.h"
#include "contract/op_table.h"

namespace naru::check {
namespace {

constexpr int64_t kRowsMax = 4, kColumnsMax = 6;  // of what is shown of an operand

// Rows as words of 4 bytes; `bits` has those of element (r, c).
template <typename Bits>
std::vector<std::string> lines_of(DType dtype, int64_t rows, int64_t cols, const Bits& bits) {
  std::vector<std::string> lines;
  for (int64_t r = 0; r < std::min(rows, kRowsMax); ++r) {
    std::string line;
    for (int64_t c = 0; c < std::min(cols, kColumnsMax); ++c) {
      line += (c == 0 ? "" : ", ") + value_text(dtype, bits(r, c));
    }
    lines.push_back(line + (cols > kColumnsMax ? fmt::format(", and {} more", cols - kColumnsMax) : ""));
  }
  if (rows > kRowsMax) lines.push_back(fmt::format("and {} more rows", rows - kRowsMax));
  return lines;
}

class Collector {
 public:
  explicit Collector(const Program& program) : program_(program) {}

  void begin(const contract::Op& op) {
    op_ = contract::op_name(op);
    n_views_ = n_matrices_ = 0;
  }
  void operator()(const View& view) {
    if (!view.empty()) add_view(view);
  }
  void operator()(std::span<const View> views) {
    for (const View& view : views) (*this)(view);
  }
  void operator()(const contract::PackedMatrix* matrix) {
    if (matrix != nullptr) add_matrix(*static_cast<const Program::Matrix*>(matrix));
  }
  void operator()(contract::PackedMatrix* matrix) { (*this)(static_cast<const contract::PackedMatrix*>(matrix)); }
  template <typename T>
  void operator()(std::span<const T>) {}
  void operator()(const contract::CacheStream&) {}
  void operator()(const contract::SequencesRef&) {}

  std::vector<OperandText> take() { return std::move(texts_); }

 private:
  uint32_t bits_at(const View& view, int64_t r, int64_t c) const {
    uint32_t bits;
    std::memcpy(&bits, program_.image().data() + Program::place_of(view) + (r * view.row_stride + c) * 4, 4);
    return bits;
  }
  void add_view(const View& view) {
    ++n_views_;
    const auto is_unwritten = [&] {
      const auto unwritten = std::bit_cast<uint32_t>(Program::kUnwritten);
      for (int64_t r = 0; r < view.rows; ++r) {
        for (int64_t c = 0; c < view.cols; ++c) {
          if (bits_at(view, r, c) != unwritten) return false;
        }
      }
      return true;
    };
    if (view.element_bytes() != 4 || is_unwritten()) return;
    texts_.push_back(
        {fmt::format("{}, view {}", op_, n_views_),
         fmt::format("{} x {} {}", view.rows, view.cols, dtype_name(view.dtype)),
         lines_of(view.dtype, view.rows, view.cols, [&](int64_t r, int64_t c) { return bits_at(view, r, c); })});
  }
  void add_matrix(const Program::Matrix& matrix) {
    OperandText text{fmt::format("{}, matrix {}", op_, ++n_matrices_),
                     fmt::format("{} x {} x {} {} as {}", matrix.groups, matrix.outputs, matrix.inputs,
                                 dtype_name(matrix.stored), contract::rule_name(matrix.rule)),
                     {}};
    if (const size_t n_bytes = matrix.stored == DType::kF32 ? 4 : matrix.stored == DType::kBF16 ? 2 : 0; n_bytes > 0) {
      text.lines = lines_of(DType::kF32, matrix.groups * matrix.outputs, matrix.inputs, [&](int64_t r, int64_t c) {
        uint32_t bits = 0;  // those of bf16 are the upper half of a float's
        const auto at = static_cast<size_t>(r * matrix.inputs + c) * n_bytes;
        std::memcpy(reinterpret_cast<std::byte*>(&bits) + 4 - n_bytes, matrix.rows.data() + at, n_bytes);
        return bits;
      });
    }
    texts_.push_back(std::move(text));
  }

  const Program& program_;
  std::vector<OperandText> texts_;
  std::string_view op_;
  int n_views_ = 0, n_matrices_ = 0;
};

}  // namespace

std::vector<OperandText> operand_texts(const Program& program) {
  Collector collector(program);
  for (const contract::Op& op : program.ops()) {
    collector.begin(op);
    std::visit([&](const auto& o) { contract::visit_members(o, collector); }, op);
  }
  return collector.take();
}

}  // namespace naru::check
