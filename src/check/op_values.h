// The values of an op's operands on the host: read, written, and those of two chips compared.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "check/values.h"
#include "contract/chip.h"

namespace naru::check {

// The elements of a view of 4-byte elements, row after row, as they are.
Result<std::vector<uint32_t>> read_values(contract::Chip& chip, const View& view);
// Nothing between the rows is touched.
Status write_values(contract::Chip& chip, const View& view, std::span<const uint32_t> values);
// Whether all of a view's values can be read: there are some, of 4 bytes each.
bool has_values(const View& view);

// One NaN is as good as another.
uint32_t canonical(DType dtype, uint32_t bits);

struct ValueDifference {
  int64_t n = 0;             // elements that differ
  int64_t row = 0, col = 0;  // of the first
  uint32_t checked = 0, against = 0;
  double largest = 0;  // of all differences; infinite where one of two values is not finite

  bool operator==(const ValueDifference&) const = default;
};
// Of a [rows, cols] output; both have as many values. Nothing where they are alike.
std::optional<ValueDifference> compare_values(DType dtype, int64_t cols, std::span<const uint32_t> checked,
                                              std::span<const uint32_t> against);

// The shapes of an op's operands, outputs too, in the order of its members: "[32, 64], [1, 64], q8_0 [64, 128]".
std::string operands_text(const contract::Op& op);

}  // namespace naru::check
