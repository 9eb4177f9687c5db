#include "check/matrix_difference.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "check/op_values.h"

namespace naru::check {
namespace {

constexpr int64_t kRowsAtOnce = 256;

// Reads rows of one matrix on one chip.
class RowReader {
 public:
  static Result<RowReader> create(contract::Chip& chip, const contract::PackedMatrix& matrix) {
    RowReader reader(chip, matrix);
    NARU_ASSIGN(reader.ids_, chip.allocate(kRowsAtOnce * 4));
    NARU_ASSIGN(reader.rows_, chip.allocate(kRowsAtOnce * matrix.inputs * 4));
    return reader;
  }
  Result<std::vector<uint32_t>> read(int64_t begin, int64_t n) {
    std::vector<int32_t> ids(static_cast<size_t>(n));
    std::iota(ids.begin(), ids.end(), static_cast<int32_t>(begin));
    NARU_TRY(chip_->copy_in(ids_->address(), ids.data(), n * 4));
    const View out = make_view(rows_->address(), DType::kF32, n, matrix_->inputs);
    NARU_TRY(chip_->run(
        contract::Embed{.ids = make_view(ids_->address(), DType::kI32, n, 1), .table = matrix_, .out = out}));
    return read_values(*chip_, out);
  }

 private:
  RowReader(contract::Chip& chip, const contract::PackedMatrix& matrix) : chip_(&chip), matrix_(&matrix) {}
  contract::Chip* chip_;
  const contract::PackedMatrix* matrix_;
  std::unique_ptr<contract::Buffer> ids_, rows_;
};

}  // namespace

Result<std::optional<std::string>> matrix_difference(contract::Chip& checked, const contract::PackedMatrix& its,
                                                     contract::Chip& against, const contract::PackedMatrix& other) {
  const auto unreadable = [](std::string_view why) {
    return Error{Code::kUnsupported, fmt::format("reading a packed matrix: {}; look at its products", why)};
  };
  if (its.groups != 1) return unreadable("it has several groups");
  NARU_ASSIGN(RowReader one, RowReader::create(checked, its));
  NARU_ASSIGN(RowReader two, RowReader::create(against, other));
  for (int64_t begin = 0; begin < its.outputs; begin += kRowsAtOnce) {
    const int64_t n = std::min(kRowsAtOnce, its.outputs - begin);
    NARU_ASSIGN(const std::vector<uint32_t> got, one.read(begin, n));
    NARU_ASSIGN(const std::vector<uint32_t> wanted, two.read(begin, n));
    const auto difference = compare_values(DType::kF32, its.inputs, got, wanted);
    if (!difference) continue;
    NARU_ASSIGN(const std::vector<uint32_t> again, one.read(begin, n));
    if (compare_values(DType::kF32, its.inputs, got, again)) return unreadable("embed changes from time to time");
    return std::optional(fmt::format("row {}, column {} is {} and not {}", begin + difference->row, difference->col,
                                     value_text(DType::kF32, difference->checked),
                                     value_text(DType::kF32, difference->against)));
  }
  return std::optional<std::string>();
}

}  // namespace naru::check
