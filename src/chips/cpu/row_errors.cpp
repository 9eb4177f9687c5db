#include "chips/cpu/row_errors.h"

#include <fmt/format.h>

#include "base/check.h"

namespace naru::cpu {

Error non_finite_row(std::string_view op, int64_t row, std::string_view what, float found) {
  return Error{Code::kOutOfRange,
               fmt::format("{}: row {}: the {} is {}, a finite number was wanted; the weights or an earlier layer "
                           "overflowed",
                           op, row, what, found)};
}

Error non_finite_element(std::string_view op, int64_t row, int64_t column, float found) {
  return Error{Code::kOutOfRange,
               fmt::format("{}: row {}, column {}: the value is {}, a finite number was wanted; the weights or an "
                           "earlier layer overflowed",
                           op, row, column, found)};
}

void check_index(std::string_view op, int64_t index, int64_t n) {
  NARU_CHECK(index >= 0 && index < n, op, index, n);
}

}  // namespace naru::cpu
