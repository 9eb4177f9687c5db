// Lists of selected positions (Attention::selected; docs/arithmetic.md section 5): their end, and the error of a list
// that is none.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/result.h"

namespace naru::contract {

constexpr int32_t kListEnd = -1;

// The error of batch row `row` of n_rows, whose own position is `own`: entry `index` of its list is `found`, which does
// not follow `before` (the entry before it, -1 where there is none). kOutOfRange.
Error selected_error(std::string_view op, int64_t n_rows, int64_t row, int64_t index, int64_t found, int64_t before,
                     int64_t own);

}  // namespace naru::contract
