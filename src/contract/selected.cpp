#include "contract/selected.h"

#include <fmt/format.h>

#include "contract/op_table.h"

namespace naru::contract {

Error selected_error(std::string_view op, int64_t n_rows, int64_t row, int64_t index, int64_t found, int64_t before,
                     int64_t own) {
  const std::string wanted =
      before < own ? fmt::format("one from {} to {}{}", before + 1, own, index > 0 ? " or -1" : "") : "-1";
  return row_error(op, n_rows, {row},
                   fmt::format("{}: row {}: entry {} of its selected positions is {}, {} was wanted; what selects "
                               "positions is at fault",
                               op, row, index, found, wanted));
}

}  // namespace naru::contract
