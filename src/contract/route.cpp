#include "contract/route.h"

#include <fmt/format.h>

#include "contract/op_table.h"

namespace naru::contract {

Error given_experts_error(int64_t n_rows, int64_t row, int64_t index, int64_t found, int64_t before,
                          int64_t n_experts) {
  const std::string wanted =
      before + 1 < n_experts ? fmt::format("one from {} to {}", before + 1, n_experts - 1) : std::string("none");
  return row_error(Route::kName, n_rows, {row},
                   fmt::format("{}: row {}: entry {} of its given experts is {}, {} was wanted; what gave the experts "
                               "is at fault",
                               Route::kName, row, index, found, wanted));
}

}  // namespace naru::contract
